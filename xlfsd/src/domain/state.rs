//! The state of a guest and what may be done to it, from what is observed. Pure.

use xlfs_proto::v1::{self as pb, DomainState, Operation};
use xlfs_xen::hypercall::{DomainInfo, ShutdownReason};

use super::record::Work;

/// What is known of a guest at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed<'a> {
    /// Its domain, if it has one.
    pub domain: Option<&'a DomainInfo>,
    /// The operation that works on it.
    pub work: Option<Work>,
    /// It ended too often.
    pub held: bool,
}

pub(super) fn state(observed: &Observed<'_>) -> DomainState {
    match observed.work {
        Some(Work::Create | Work::Start | Work::Restart) => return DomainState::Starting,
        Some(Work::Shutdown | Work::Reboot | Work::Destroy | Work::Cleanup | Work::Delete) => {
            return DomainState::Stopping;
        }
        // A guest lives on while a device comes or goes.
        Some(Work::Attach | Work::Detach) | None => {}
        // So does one whose disks are copied; it does not run anyway.
        Some(Work::Snapshot | Work::Restore | Work::Unsnapshot | Work::Clone) => {}
    }
    match observed.domain {
        None if observed.held => DomainState::Held,
        None => DomainState::Stopped,
        Some(domain) => of_domain(domain),
    }
}

/// The state of a domain that nobody works on.
pub(super) fn of_domain(domain: &DomainInfo) -> DomainState {
    match domain.shutdown {
        _ if domain.dying => DomainState::Dying,
        Some(ShutdownReason::Poweroff | ShutdownReason::Reboot) => DomainState::Stopping,
        Some(_) => DomainState::Crashed,
        None if domain.paused => DomainState::Paused,
        None => DomainState::Running,
    }
}

const ALL: [Operation; 13] = [
    Operation::Start,
    Operation::Shutdown,
    Operation::Reboot,
    Operation::Pause,
    Operation::Unpause,
    Operation::Destroy,
    Operation::Delete,
    Operation::Attach,
    Operation::Detach,
    Operation::Snapshot,
    Operation::Restore,
    Operation::Clone,
    Operation::Console,
];

/// Why `operation` cannot be asked for in `state`; `None` when it can.
pub(super) fn refusal(operation: Operation, state: DomainState) -> Option<&'static str> {
    use DomainState as S;
    use Operation as O;
    match (operation, state) {
        (_, S::Unspecified) | (O::Unspecified, _) => Some("the state is not known"),
        (O::Console, _) => None,
        (O::Destroy, S::Stopped | S::Held) => Some("it does not run"),
        (O::Destroy, _) => None,
        (_, S::Starting) => Some("it is being started"),
        (_, S::Stopping) => Some("it is being stopped"),
        (O::Start, S::Stopped | S::Held) => None,
        (O::Start, S::Running | S::Paused) => Some("it runs already"),
        (O::Start, S::Crashed) => Some("its crashed domain is still there: destroy it first"),
        (O::Start, S::Dying) => Some("its last domain is still being taken apart"),
        (O::Attach | O::Detach, S::Stopped | S::Held | S::Running | S::Paused) => None,
        (O::Snapshot | O::Clone, S::Stopped | S::Held | S::Paused) => None,
        (O::Snapshot | O::Clone, S::Running) => Some("it runs: pause it or shut it down first"),
        (O::Restore, S::Stopped | S::Held) => None,
        (O::Restore, S::Running | S::Paused) => Some("it has a domain: shut it down first"),
        (O::Delete, S::Stopped | S::Held) => None,
        (O::Delete, _) => Some("it has a domain: stop it first, or use --force"),
        (O::Shutdown | O::Reboot | O::Pause, S::Running) => None,
        (O::Unpause, S::Paused) => None,
        (O::Unpause, S::Running) => Some("it is not paused"),
        (O::Shutdown | O::Reboot, S::Paused) => Some("it is paused: unpause it first"),
        (O::Pause, S::Paused) => Some("it is paused already"),
        (_, S::Crashed) => Some("it has crashed"),
        (_, S::Dying) => Some("its domain is being taken apart"),
        (_, S::Stopped | S::Held) => Some("it does not run"),
    }
}

/// Every operation and whether it may be asked for.
pub(super) fn operations(state: DomainState) -> Vec<pb::OperationStatus> {
    ALL.iter()
        .map(|operation| {
            let reason = refusal(*operation, state);
            pb::OperationStatus {
                operation: (*operation).into(),
                allowed: reason.is_none(),
                reason: reason.unwrap_or_default().into(),
            }
        })
        .collect()
}

/// `running`, for messages.
pub(super) fn word(state: DomainState) -> &'static str {
    match state {
        DomainState::Unspecified => "unknown",
        DomainState::Stopped => "stopped",
        DomainState::Starting => "starting",
        DomainState::Running => "running",
        DomainState::Paused => "paused",
        DomainState::Stopping => "stopping",
        DomainState::Crashed => "crashed",
        DomainState::Dying => "dying",
        DomainState::Held => "held",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In every state something can be done, and each refusal says why.
    #[test]
    fn every_state_has_a_way_out() {
        for number in 1..=8 {
            let state = DomainState::try_from(number).unwrap();
            let operations = operations(state);
            assert_eq!(operations.len(), ALL.len());
            let useful = operations
                .iter()
                .filter(|o| o.allowed && o.operation() != Operation::Console)
                .count();
            assert!(useful > 0, "{state:?}");
            assert!(operations.iter().all(|o| o.allowed == o.reason.is_empty()), "{state:?}");
        }
    }
}
