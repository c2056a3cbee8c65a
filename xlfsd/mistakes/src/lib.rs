//! What is said about a mistake in what a person wrote: the daemon's
//! configuration and templates, and the builder's recipes, in the same words.
//!
//! `suggest` finds the name that was meant, `toml` the place in a file; `alias` says
//! what an image may be called. Which
//! file it is, and how large one may be, is for who reads it to say.

pub mod alias;
pub mod suggest;
pub mod toml;
