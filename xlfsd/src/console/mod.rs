//! The guests' consoles: what they print is kept and shown, what is typed is
//! handed to them.
//!
//! The ring pump (which talks to Xen) and the services meet at a
//! [`ConsoleHub`], one for each guest:
//!
//! ```text
//!   ring ──feed──> hub ──> tail in memory ──batches──> segments on disk
//!                   │            └────────┬────────────────┘
//!                   │                  readers: a place in the stream each
//!   ring <─take_input── input queue <── the writer
//! ```
//!
//! Every byte that a guest's domain prints has an offset, from 0 at the
//! domain's start. A reader is an offset and nothing more: it takes bytes from
//! memory where they still are, else from the disk, else it is told of a gap.
//! So a replay goes over into live output with no hole and no byte twice, a
//! reader that stands still costs nothing, and nobody delays the guest.
//!
//! One life of a domain is a *run*: when the guest is restarted, a new one
//! begins. The log keeps the present run and the one before it.

mod contains;
mod directory;
mod flusher;
mod hub;
mod input;
mod matcher;
mod reader;
mod run_log;
mod segments;
mod tail;

pub use directory::{ConsoleLimits, Consoles};
pub use hub::{Attach, Attachment, ConsoleHub};
pub use input::InputSender;
pub use reader::ConsoleReader;
