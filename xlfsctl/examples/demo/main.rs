#![allow(dead_code, clippy::expect_used, clippy::panic, missing_docs)]
mod fake;
use fake::*;
use xlfs_proto::v1::*;
#[tokio::main]
async fn main() {
    let mut w = World::default();
    for (n, s) in [
        ("web", DomainState::Running),
        ("mail", DomainState::Stopped),
        ("dns", DomainState::Paused),
        ("db-with-a-long-name.internal.example.org", DomainState::Crashed),
    ] {
        w.domains.push(domains::domain(n, s));
    }
    w.domains[3].problems.push("crashed and is kept for a look; see its console: xlfsctl logs db-with-a-long-name.internal.example.org".into());
    w.domains.push(Domain {
        name: "Domain-0".into(),
        state: DomainState::Running.into(),
        domid: Some(0),
        memory_mib: 768,
        vcpus: 2,
        ..Default::default()
    });
    w.templates.push(others::template());
    w.templates.push(Template {
        name: "minimal".into(),
        version: "12.1".into(),
        summary: "A kernel and a shell, for tests and for a first look at what a guest of xlfs is"
            .into(),
        memory_mib: 64,
        vcpus: 1,
        ..Default::default()
    });
    w.images.push(images::image("lapp-kernel", "ab", &["web", "mail"]));
    w.images.push(images::image("dns-kernel", "cd", &[]));
    w.host = others::host();
    w.hypervisor_log =
        "(XEN) Xen version 4.17.7\n(XEN) Command line: dom0_mem=768M\n(XEN) \x1b[2Jevil\n".into();
    w.console_log =
        b"\x1b[0;32m[ OK ]\x1b[0m Started web\r\nDebian GNU/Linux 12 web hvc0\r\n\r\nweb login: "
            .to_vec();
    w.events = vec![vec![others::started(6), others::lagged(12, 40), others::started(41)]];
    for (id, n, fail) in [
        ("41", "mail", false),
        ("42", "dns", false),
        ("43", "slow", false),
        ("44", "bad", true),
        ("45", "new", false),
    ] {
        let mut st = vec![];
        for s in tasks::success(id, "start", n) {
            for k in 0..30u32 {
                let mut s = s.clone();
                if s.ended.is_none() {
                    s.percent += k;
                }
                st.push(s);
            }
        }
        let mut st: Vec<_> = {
            let mut seen = false;
            st.into_iter()
                .filter(|t| {
                    let e = t.ended.is_some();
                    let keep = !(e && seen);
                    seen |= e;
                    keep
                })
                .collect()
        };
        if n == "slow" {
            st.truncate(20);
        }
        if fail {
            st.truncate(40);
            st.push(tasks::failure(id, "start", n));
        }
        w.replies.insert(
            n.into(),
            Ok(OperationReply {
                task: st.first().cloned(),
                changed: true,
                plan: vec![
                    PlannedStep { name: "reserve-memory".into(), object: "256 MiB".into() },
                    PlannedStep { name: "create-domain".into(), object: "domain x".into() },
                ],
                summary: String::new(),
            }),
        );
        w.tasks.insert(id.into(), st);
    }
    w.replies.insert(
        "big".into(),
        Err(refusal(tonic::Code::ResourceExhausted, "MEMORY_EXHAUSTED", "not enough free memory")),
    );
    let f = serve(w);
    let _ = std::fs::remove_file("/tmp/demo.sock");
    std::os::unix::fs::symlink(&f.socket, "/tmp/demo.sock").unwrap();
    std::future::pending::<()>().await;
}
