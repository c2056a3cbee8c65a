//! What every scenario must leave behind: nothing. xlfsd is asked, and then the
//! hypervisor, xenstored and the kernel, which do not take its word for it.

use std::time::{Duration, Instant};

use super::host::{Host, parse};
use super::{Outcome, check};
use crate::look::Look;

/// Memory of a domain comes back page by page, sockets close when their reader
/// has noticed.
const SETTLES: Duration = Duration::from_secs(60);
/// What Xen's own books may grow by.
const SLACK_KIB: u64 = 1024;

impl Host {
    /// Looks at Dom0 past xlfsd.
    pub fn look(&self) -> Outcome<Look> {
        let pid = self.daemon_pid().to_string();
        let output = self.dom0().ok(["/usr/lib/lab/lab", "agent", "look", "--daemon", &pid])?;
        parse("(lab agent look)", &output.stdout)
    }

    /// Holds Dom0 against how it was before all scenarios.
    pub fn nothing_left(&self) -> Outcome {
        let until = Instant::now() + SETTLES;
        loop {
            let (look, names) = (self.look()?, self.names()?);
            let left = left(&look, &self.clean.borrow(), &names);
            if left.is_empty() {
                return Ok(());
            }
            check(Instant::now() < until, "nothing to be left", left.join("; "))?;
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Every domain that xlfsd lists, but Dom0.
    fn names(&self) -> Outcome<Vec<String>> {
        let mut list = self.list()?;
        let dom0 = list.iter().position(|domain| domain.domid == Some(0) && !domain.managed);
        check(dom0.is_some(), "Dom0 in the list, as unmanaged", format!("{list:?}"))?;
        dom0.map(|at| list.remove(at));
        Ok(list.into_iter().map(|domain| domain.name).collect())
    }
}

/// Everything that is there and was not, each in words.
fn left(now: &Look, clean: &Look, names: &[String]) -> Vec<String> {
    let mut left = Vec::new();
    if !names.is_empty() {
        left.push(format!("xlfsd lists {names:?}"));
    }
    if now.domains != [0] {
        left.push(format!("the hypervisor has domains {:?}", now.domains));
    }
    if !now.nodes.is_empty() {
        left.push(format!("xenstore has {:?}", now.nodes));
    }
    for (what, now, clean) in [
        ("loop device", &now.loops, &clean.loops),
        ("volume", &now.volumes, &clean.volumes),
        ("link", &now.links, &clean.links),
    ] {
        left.extend(beyond(now, clean).into_iter().map(|one| format!("{what} {one}")));
    }
    if now.free_kib + SLACK_KIB < clean.free_kib {
        let (was, is) = (clean.free_kib, now.free_kib);
        left.push(format!("of {was} KiB of free memory, {is} KiB are free"));
    }
    if now.event_channels > clean.event_channels {
        let (was, is) = (clean.event_channels, now.event_channels);
        left.push(format!("{is} event channels are bound in Dom0, {was} were"));
    }
    if let (Some(now), Some(clean)) = (&now.daemon, &clean.daemon) {
        if now.descriptors.len() > clean.descriptors.len() {
            let more = beyond(&now.descriptors, &clean.descriptors);
            left.push(format!("xlfsd has more open: {more:?}"));
        }
        if now.foreign.len() > clean.foreign.len() {
            left.push(format!("xlfsd maps more of other domains: {:?}", now.foreign));
        }
    }
    left
}

/// What is in `now` more often than in `before`. Sockets and pipes are each
/// other's like, whatever their numbers.
fn beyond(now: &[String], before: &[String]) -> Vec<String> {
    let kind = |text: &String| text.split(":[").next().unwrap_or_default().to_owned();
    let mut before: Vec<_> = before.iter().map(kind).collect();
    let mut more = Vec::new();
    for one in now {
        match before.iter().position(|other| *other == kind(one)) {
            Some(at) => drop(before.swap_remove(at)),
            None => more.push(one.clone()),
        }
    }
    more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Daemon;

    fn clean() -> Look {
        let descriptors = vec!["/dev/null".to_owned(), "socket:[1]".to_owned()];
        Look {
            domains: vec![0],
            free_kib: 100_000,
            nodes: Vec::new(),
            event_channels: 2,
            loops: vec!["loop0 of /else".into()],
            volumes: Vec::new(),
            links: vec!["lo".into()],
            daemon: Some(Daemon { descriptors, foreign: Vec::new() }),
        }
    }

    #[test]
    fn what_was_there_before_is_not_left() {
        let now = Look { free_kib: 99_000, event_channels: 1, ..clean() };
        assert!(left(&now, &clean(), &[]).is_empty());
    }

    /// The oracle sees each of the things it is there for.
    #[test]
    fn each_kind_of_leftover_is_seen() {
        let found = |now: Look| left(&now, &clean(), &[]).len();
        assert_eq!(left(&clean(), &clean(), &["web".to_owned()]).len(), 1);
        assert_eq!(found(Look { domains: vec![0, 7], ..clean() }), 1);
        assert_eq!(found(Look { nodes: vec!["/xlfs/x".into()], ..clean() }), 1);
        assert_eq!(found(Look { free_kib: 98_000, ..clean() }), 1);
        assert_eq!(found(Look { event_channels: 3, ..clean() }), 1);
        assert_eq!(found(Look { volumes: vec!["x.img".into()], ..clean() }), 1);
        assert_eq!(found(Look { links: vec!["vif7.0".into()], ..clean() }), 1);
        let mut now = clean();
        now.loops.push("loop1 of /x".into());
        assert_eq!(found(now), 1);
        let mut now = clean();
        if let Some(daemon) = &mut now.daemon {
            daemon.descriptors.push("socket:[2]".into());
            daemon.foreign.push("/dev/xen/privcmd".into());
        }
        let left = left(&now, &clean(), &[]);
        assert_eq!(left.len(), 2);
        assert!(left[0].contains("socket:[2]") && !left[0].contains("null"), "{left:?}");
    }
}
