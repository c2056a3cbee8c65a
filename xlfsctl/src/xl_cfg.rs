//! Guests of xl: reads the files that describe them, as xl.cfg(5) has it, and
//! turns each into what `xlfsctl create` would be given.
//!
//! [`lexer`] and [`parser`] know the syntax, [`settings`] the keys as they
//! stand in a file; [`keys`] says what becomes of each key, [`disk`] and
//! [`vif`] read the small languages inside their strings, [`convert`] makes a
//! [`definition`] of it all, and [`request`] hands that to xlfsd. What is lost
//! on the way is a [`finding`]. The command is [`crate::commands::import`].
//!
//! Nothing here touches the host: the files that a configuration names are not
//! opened, and no program is run.

pub(crate) mod alias;
pub(crate) mod convert;
pub(crate) mod definition;
pub(crate) mod disk;
pub(crate) mod finding;
mod keys;
mod lexer;
pub(crate) mod parser;
pub(crate) mod request;
pub(crate) mod settings;
pub(crate) mod shell;
#[cfg(test)]
mod tests;
pub(crate) mod vif;
