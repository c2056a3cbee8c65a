//! Clones: guests of their own, with copies of another's disks.

use tonic::{Code, Status};
use xlfs_proto::v1::{
    CloneDomainRequest, CreateDomainRequest, Domain, GuestConfiguration, NicRequest, Operation,
    TaskState,
};

use crate::daemon::{Daemon, reason};
use crate::images::kernel;
use crate::snapshots::{read, show, write};
use crate::volumes::{MIB, define, delete, empty, files, get, guest, guests};

async fn clone(daemon: &Daemon, request: CloneDomainRequest) -> Result<Domain, Status> {
    let name = request.new_name.clone();
    let reply = guests(daemon).await.clone_domain(request).await?.into_inner();
    let task = daemon.end_of(reply).await;
    assert_eq!(task.state(), TaskState::Succeeded, "{task:?}");
    Ok(show(daemon, &name).await)
}

fn of(name: &str, new_name: &str) -> CloneDomainRequest {
    CloneDomainRequest { name: name.into(), new_name: new_name.into(), ..Default::default() }
}

fn with_lan(config: &mut xlfsd::config::Config) {
    let text = "networks = [ { name = 'lan', bridge = 'xlfs-none' } ]";
    config.networks = toml::from_str::<xlfsd::config::Config>(text).unwrap().networks;
}

#[tokio::test]
async fn a_clone_has_copies_and_a_name_of_its_own() {
    let daemon = Daemon::with_guests().await;
    kernel(&daemon, "minimal-kernel").await;
    let mut web = guest("web", vec![empty("xvda", MIB), empty("xvdb", MIB)]);
    web.parameters.insert("banner".into(), "hello".into());
    web.memory_mib = Some(96);
    let reply = guests(&daemon).await.create_domain(web).await.unwrap().into_inner();
    assert_eq!(daemon.end_of(reply).await.state(), TaskState::Succeeded);
    write(&daemon, "web-xvda", "content").await;

    let copy = clone(&daemon, of("web", "copy")).await.unwrap();
    let web = show(&daemon, "web").await;
    assert_ne!(copy.uuid, web.uuid);
    assert_eq!((copy.memory_mib, copy.parameters["banner"].as_str()), (96, "hello"));
    assert_eq!(copy.parameters["hostname"], "copy", "it follows the name");
    assert_eq!(copy.kernel_digest, web.kernel_digest);
    assert!(!copy.wanted_running);
    let volumes: Vec<_> = copy.disks.iter().map(|disk| disk.volume.as_str()).collect();
    assert_eq!(volumes, ["copy-xvda", "copy-xvdb"]);
    assert_eq!(read(&daemon, "copy-xvda").await, "content");
    assert_eq!(get(&daemon, "copy-xvda").await.unwrap().copy_of, "web-xvda");
    write(&daemon, "copy-xvda", "other").await;
    assert_eq!(read(&daemon, "web-xvda").await, "content");
    // The source is free again.
    let status = web.operations.iter().find(|one| one.operation() == Operation::Start).unwrap();
    assert!(status.allowed && web.task_id.is_empty());
    delete(&daemon, "web").await;
    assert_eq!(read(&daemon, "copy-xvda").await, "other");
    delete(&daemon, "copy").await;
    assert_eq!(files(&daemon), 0);
}

#[tokio::test]
async fn no_address_is_given_twice() {
    let daemon = Daemon::with_guests_and(with_lan).await;
    kernel(&daemon, "minimal-kernel").await;
    let nic = |address: &str| NicRequest {
        network: "lan".into(),
        addresses: vec![address.into()],
        ..NicRequest::default()
    };
    let web = CreateDomainRequest {
        nics: vec![nic("10.0.0.2/24")],
        configuration: Some(GuestConfiguration {
            gateways: vec!["10.0.0.1".into()],
            name_servers: vec!["10.0.0.3".into()],
            ..GuestConfiguration::default()
        }),
        ..guest("web", vec![empty("xvda", MIB)])
    };
    let reply = guests(&daemon).await.create_domain(web).await.unwrap().into_inner();
    assert_eq!(daemon.end_of(reply).await.state(), TaskState::Succeeded);

    let status = clone(&daemon, of("web", "copy")).await.unwrap_err();
    let seen = (status.code(), reason(&status));
    assert_eq!(seen, (Code::FailedPrecondition, "ADDRESSES_NEEDED".into()));
    let same = CloneDomainRequest { nics: vec![nic("10.0.0.2/16")], ..of("web", "copy") };
    assert_eq!(reason(&clone(&daemon, same).await.unwrap_err()), "ADDRESS_IN_USE");
    let far = CloneDomainRequest { nics: vec![nic("10.9.0.2/24")], ..of("web", "copy") };
    let status = clone(&daemon, far).await.unwrap_err();
    assert!(status.message().contains("the gateway 10.0.0.1"), "{status:?}");
    assert_eq!(files(&daemon), 2);

    let own = CloneDomainRequest { nics: vec![nic("10.0.0.4/24")], ..of("web", "copy") };
    let copy = clone(&daemon, own).await.unwrap();
    let web = show(&daemon, "web").await;
    assert_ne!(copy.nics[0].mac, web.nics[0].mac);
    let seed = |uuid: &str| std::fs::read(daemon.path(&format!("state/seeds/{uuid}.img"))).unwrap();
    let (of_web, of_copy) = (seed(&web.uuid), seed(&copy.uuid));
    let says = |disk: &[u8], text: &str| disk.windows(text.len()).any(|at| at == text.as_bytes());
    assert!(says(&of_web, "XLFS_IF0_GATEWAYS='10.0.0.1'"));
    assert!(says(&of_copy, "XLFS_IF0_GATEWAYS='10.0.0.1'"), "as the other guest was told");
    assert!(says(&of_copy, "XLFS_NAME_SERVERS='10.0.0.3'"));
    assert!(says(&of_copy, &format!("XLFS_INSTANCE='{}'", copy.uuid)));
    assert!(says(&of_copy, "XLFS_FQDN='copy'"));

    // With DHCP there is nothing to give.
    let dhcp = NicRequest { network: "lan".into(), ..NicRequest::default() };
    let other = CloneDomainRequest { nics: vec![dhcp], ..of("copy", "other") };
    let other = clone(&daemon, other).await.unwrap();
    assert!(!says(&seed(&other.uuid), "10.0.0.1"));
    let again = clone(&daemon, of("other", "again")).await.unwrap();
    assert_ne!(again.nics[0].mac, other.nics[0].mac);
}

#[tokio::test]
async fn what_cannot_be_cloned_is_said() {
    let daemon = Daemon::with_guests().await;
    kernel(&daemon, "minimal-kernel").await;
    define(&daemon, "web", vec![empty("xvda", MIB)]).await;
    define(&daemon, "mail", vec![]).await;
    for (request, code, expected) in [
        (of("none", "copy"), Code::NotFound, "NO_SUCH_GUEST"),
        (of("web", "mail"), Code::AlreadyExists, "NAME_TAKEN"),
        (of("web", "web"), Code::AlreadyExists, "NAME_TAKEN"),
        (of("web", "Copy"), Code::InvalidArgument, "BAD_NAME"),
    ] {
        let status = clone(&daemon, request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
    }
    let machine = daemon.machine.clone().unwrap();
    machine.runs(show(&daemon, "web").await.uuid.parse().unwrap(), false);
    let status = clone(&daemon, of("web", "copy")).await.unwrap_err();
    assert!(status.message().contains("pause it or shut it down first"), "{status:?}");
    machine.is_bare();
    assert_eq!(files(&daemon), 2);
    // None of that keeps it from being cloned.
    clone(&daemon, of("web", "copy")).await.unwrap();
}
