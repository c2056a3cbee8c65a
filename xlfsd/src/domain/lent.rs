//! A guest that is copied, while that lasts: it is neither started nor changed,
//! and whoever destroys it ends the copying.

use std::fmt;
use std::sync::Arc;

use super::guest::{Current, Guest};
use super::operations::Turn;
use super::record::Work;

/// The turn of a guest whose disks are read. It goes back when this is dropped.
pub(super) struct Lent {
    guest: Arc<Guest>,
    _turn: Turn,
}

impl Lent {
    pub(super) fn new(guest: Arc<Guest>, turn: Turn) -> Self {
        Self { guest, _turn: turn }
    }

    pub(super) fn guest(&self) -> &Arc<Guest> {
        &self.guest
    }

    /// Tells which task has it.
    pub(super) fn to(&self, task: &Current) {
        self.guest.set_current(Some(Current { work: Work::Clone, ..task.clone() }));
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.guest.set_current(None);
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lent").field(&self.guest.name()).finish()
    }
}
