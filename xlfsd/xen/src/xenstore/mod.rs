//! An asynchronous client of xenstore: the tree of small values through which Dom0, the guests
//! and their devices find each other.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use xlfs_xen::xenstore::{Client, Config, Endpoint, Perm};
//!
//! let client = Client::connect(Endpoint::discover().await?, Config::default()).await?;
//! client
//!     .batch()
//!     .mkdir("/local/domain/7")
//!     .set_perms("/local/domain/7", &[Perm::none(0), Perm::read(7)])
//!     .write("/local/domain/7/name", "db1")
//!     .introduce(7, 0x1234, 1)
//!     .run()
//!     .await?;
//! let mut released = client.watch("@releaseDomain").await?;
//! released.next().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Shape
//!
//! ```text
//!   View ─ Batch ─ Transaction ─ Watch      what callers hold (any number, any task)
//!        └──────────┬───────────┘
//!             client::Shared                 a channel of calls, each with one wait
//!                   │
//!        driver ─ session                    one task: sends, reads, reconnects
//!           calls   in_flight   watch::Registry
//!                   │
//!               transport                    socket, or the kernel's device
//!                   │
//!                  wire                      messages
//! ```
//!
//! The specification is `docs/misc/xenstore.txt` and `io/xs_wire.h` of Xen; behaviour was read
//! from, and is tested against, xenstored itself.
//!
//! # Order
//!
//! Requests of one client are carried out in the order in which they are sent, although many
//! are sent before the first answer comes. The specification leaves the order of *replies* open
//! (so they are matched by req_id here), but all servers handle one connection's requests one
//! at a time, to the end, before they look at the next:
//!
//! - C xenstored, 4.2.5 and 4.17.7 (`xenstored_core.c`): `handle_input` collects one message and
//!   calls `consider_message`, which answers it before it returns; there is one thread.
//! - The one exception: while a live update is pending (4.15 and later), TRANSACTION_START is
//!   put aside and later requests overtake it. Nothing is ever sent behind it here, because its
//!   number is needed first.
//! - oxenstored (`process.ml`): `do_input` takes one packet and `process_packet` answers it;
//!   one thread.
//! - The kernel's device takes one request at a time; there the next one leaves when the answer
//!   to the last has come, and a batch costs a round trip for each request.
//!
//! [`Batch::introduce`] relies on this: the guest must not see its nodes half written.
//!
//! # When xenstored goes away
//!
//! A socket that ends is noticed at once. Calls of which anything was sent fail with
//! [`ErrorKind::Disconnected`], which says whether the request may have been carried out; the
//! others wait for the new connection, until their deadline. Watches are set up again before
//! anything else is sent, and each delivers [`WatchEvent::Resync`]. C xenstored keeps its
//! database in memory: after a restart it may be empty, and it is the callers' business to
//! write again what they need.

mod backoff;
mod batch;
mod call;
mod calls;
mod client;
mod device;
mod domain;
mod driver;
mod endpoint;
mod error;
mod in_flight;
mod path;
mod perm;
mod session;
mod stats;
mod transaction;
mod transport;
mod view;
mod watch;
pub mod wire;

#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use client::{Client, Config};
pub use endpoint::{DiscoverError, Endpoint};
pub use error::{Code, Error, ErrorKind, Op};
pub use perm::{Access, Perm};
pub use stats::Stats;
pub use transaction::Transaction;
pub use view::View;
pub use watch::{Watch, WatchEvent, WatchSet};
