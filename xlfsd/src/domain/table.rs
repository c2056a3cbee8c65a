//! All guests by name. Names are unique here, and nowhere else needs to be asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use super::guest::Guest;
use crate::problem::Problem;
use xlfs_mistakes::suggest::did_you_mean;

#[derive(Debug, Default)]
pub(super) struct Table {
    guests: Mutex<BTreeMap<String, Arc<Guest>>>,
    /// Held by whoever takes a guest in under a condition.
    entrance: Mutex<()>,
}

impl Table {
    /// Takes a guest in, unless its name is taken.
    pub(super) fn insert(&self, guest: Arc<Guest>) -> Result<(), Problem> {
        let mut guests = self.guests.lock();
        if guests.contains_key(guest.name()) {
            return Err(Problem::already_exists(
                "NAME_TAKEN",
                format!("there is a guest named {} already", guest.name()),
            )
            .object(format!("guest {}", guest.name()))
            .hint(format!(
                "Choose another name, or look at that one: xlfsctl show {}",
                guest.name()
            )));
        }
        guests.insert(guest.name().to_owned(), guest);
        Ok(())
    }

    /// The same, unless `check` has a reason against it. The guest is there
    /// already when it is asked, and nobody else comes in meanwhile: of two that
    /// want the same thing one gets it.
    pub(super) fn insert_if(
        &self,
        guest: Arc<Guest>,
        check: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let _entrance = self.entrance.lock();
        self.insert(guest.clone())?;
        check().inspect_err(|_| self.remove(&guest))
    }

    pub(super) fn remove(&self, guest: &Guest) {
        let mut guests = self.guests.lock();
        if guests.get(guest.name()).is_some_and(|found| found.uuid() == guest.uuid()) {
            guests.remove(guest.name());
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Guest>> {
        self.guests.lock().get(name).cloned()
    }

    pub(super) fn get(&self, name: &str) -> Result<Arc<Guest>, Problem> {
        let guests = self.guests.lock();
        if let Some(guest) = guests.get(name) {
            return Ok(guest.clone());
        }
        let shown: String = name.chars().take(80).collect();
        let suggestion = did_you_mean(&shown, guests.keys().map(String::as_str));
        Err(Problem::not_found(
            "NO_SUCH_GUEST",
            format!("there is no guest named {shown:?}{suggestion}"),
        )
        .hint("See the names with: xlfsctl list"))
    }

    pub(super) fn all(&self) -> Vec<Arc<Guest>> {
        self.guests.lock().values().cloned().collect()
    }

    pub(super) fn by_uuid(&self, uuid: Uuid) -> Option<Arc<Guest>> {
        self.guests.lock().values().find(|guest| guest.uuid() == uuid).cloned()
    }
}
