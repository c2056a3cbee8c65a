//! `list` and `show`: tables that fit, words for empty lists, documents with
//! all fields.

use xlfs_proto::v1::{Domain, DomainState};

use crate::fake::domains::{domain, ill};
use crate::fake::{World, serve};
use crate::run::xlfsctl;

fn dom0() -> Domain {
    Domain {
        name: "Domain-0".to_owned(),
        state: DomainState::Running.into(),
        domid: Some(0),
        memory_mib: 768,
        vcpus: 2,
        ..Domain::default()
    }
}

fn three() -> World {
    World {
        domains: vec![
            dom0(),
            domain("web", DomainState::Running),
            domain("mail", DomainState::Stopped),
        ],
        ..World::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_guests_first_and_fits() {
    let fake = serve(three());
    let run = xlfsctl(&fake, &["list"]).await.expect(0);
    let first: Vec<_> = run.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(first, ["NAME", "mail", "web", "Domain-0"], "{}", run.out);
    assert!(run.out.lines().all(|line| line.len() <= 80), "{}", run.out);
    assert!(!run.out.contains('\x1b'), "no colour without a terminal");
    assert_eq!(run.err, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_of_services_is_listed_and_shown() {
    let mut world = three();
    world.domains[1].health = Some(ill());
    let fake = serve(world);
    let list = xlfsctl(&fake, &["list"]).await.expect(0).out;
    assert!(list.lines().all(|line| line.len() <= 80), "{list}");
    let health: Vec<_> = list.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!(health, ["HEALTH", "-", "unhealthy", "-"], "{list}");
    let show = xlfsctl(&fake, &["show", "web"]).await.expect(0).out;
    assert!(show.contains("Health        unhealthy for "), "{show}");
    assert!(show.contains("http port 80: healthy, asked "), "{show}");
    assert!(show.contains("it greets with \"554 \\u{1b}[2Jno\""), "{show}");
    assert!(!show.contains('\x1b'), "a guest's words do not reach the terminal");
    let json = xlfsctl(&fake, &["show", "web", "-o", "json"]).await.expect(0).json();
    assert_eq!(json["health"]["state"], "unhealthy");
    assert_eq!(json["health"]["checks"][1]["kind"], "smtp");
    assert_eq!(json["health"]["checks"][1]["failures"], 3);
    let json = xlfsctl(&fake, &["show", "mail", "-o", "json"]).await.expect(0).json();
    assert_eq!(json["health"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_says_so_on_stderr() {
    let fake = serve(World::default());
    let run = xlfsctl(&fake, &["list"]).await.expect(0);
    assert_eq!(run.out, "");
    assert!(run.err.contains("There are no guests"), "{}", run.err);
    let run = xlfsctl(&fake, &["image", "list"]).await.expect(0);
    assert!(run.err.contains("There are no images"), "{}", run.err);
    // A program gets an empty list, and silence.
    let run = xlfsctl(&fake, &["list", "-o", "json"]).await.expect(0);
    assert_eq!(run.json()["domains"].as_array().map(Vec::len), Some(0));
    assert_eq!(run.err, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_lists_names() {
    let fake = serve(three());
    assert_eq!(xlfsctl(&fake, &["list", "-q"]).await.expect(0).out, "mail\nweb\nDomain-0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_guests_are_no_problem() {
    // More than the 4 MiB at which gRPC gives up by itself.
    let guest = |number: u32| {
        let mut guest = domain(&format!("guest-{number:05}"), DomainState::Running);
        guest.parameters.insert("motd".to_owned(), "hello ".repeat(100));
        guest
    };
    let fake = serve(World { domains: (0..10_000).map(guest).collect(), ..World::default() });
    assert_eq!(xlfsctl(&fake, &["list"]).await.expect(0).out.lines().count(), 10_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_are_told_below_the_list() {
    let mut world = three();
    world.domains[1].problems.push("ended 5 times in 60 s".to_owned());
    world.hypervisor_problem = "the host does not run on Xen".to_owned();
    let fake = serve(world);
    let run = xlfsctl(&fake, &["list"]).await.expect(0);
    assert!(run.err.contains("web: ended 5 times"), "{}", run.err);
    assert!(run.err.contains("does not run on Xen"), "{}", run.err);
    let json = xlfsctl(&fake, &["list", "-o", "json"]).await.expect(0).json();
    assert_eq!(json["hypervisor_problem"], "the host does not run on Xen");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_yaml_say_the_same() {
    let fake = serve(three());
    let json = xlfsctl(&fake, &["show", "web", "-o", "json"]).await.expect(0).json();
    assert_eq!(json["state"], "running");
    assert_eq!(json["domid"], 5);
    assert_eq!(json["memory_mib"], 512);
    assert_eq!(json["created"], "2026-11-22T05:18:00.000Z");
    assert_eq!(json["cpu_time_seconds"], 83.5);
    assert_eq!(json["end_policy"]["on_crash"], "preserve");
    assert_eq!(json["task_id"], serde_json::Value::Null);

    let yaml = xlfsctl(&fake, &["show", "web", "-o", "yaml"]).await.expect(0).out;
    for (key, value) in json.as_object().expect("object") {
        assert!(yaml.lines().any(|line| line.starts_with(&format!("{key}:"))), "{key}: {yaml}");
        if let Some(text) = value.as_str() {
            assert!(yaml.contains(text), "{text}: {yaml}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unmanaged_domains_have_all_fields_too() {
    let fake = serve(three());
    let json = xlfsctl(&fake, &["list", "-o", "json"]).await.expect(0).json();
    let keys = |at: usize| -> Vec<_> {
        json["domains"][at].as_object().expect("object").keys().cloned().collect()
    };
    assert_eq!(keys(0), keys(2));
    assert_eq!(json["domains"][2]["end_policy"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn show_fits_a_console_and_names_what_can_be_done() {
    let fake = serve(three());
    let run = xlfsctl(&fake, &["show", "web"]).await.expect(0);
    assert!(run.out.lines().count() <= 24, "{}", run.out);
    assert!(run.out.lines().all(|line| line.len() <= 80), "{}", run.out);
    assert!(run.out.contains("Can now       shutdown, console"), "{}", run.out);
    assert!(run.out.contains("Cannot now    start: it runs already"), "{}", run.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_says_cannot_steer_the_terminal() {
    let mut world = three();
    world.domains[0].name = "\x1b[31mother".to_owned();
    world.domains[1].last_end = "crash\x1b[2J".to_owned();
    world.domains[1].problems.push("\x1b]0;owned\x07".to_owned());
    let fake = serve(world);
    for args in [["show", "web"].as_slice(), &["list"]] {
        let run = xlfsctl(&fake, args).await.expect(0);
        assert!(!(run.out + &run.err).contains(['\x1b', '\x07']));
    }
}
