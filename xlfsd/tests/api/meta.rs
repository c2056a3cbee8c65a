//! Reflection, health, the host, the limits, and how the daemon stops.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};
use xlfs_proto::v1::event_service_client::EventServiceClient;
use xlfs_proto::v1::host_service_client::HostServiceClient;
use xlfs_proto::v1::task_service_client::TaskServiceClient;
use xlfs_proto::v1::{
    GetHostRequest, ListTasksRequest, ReadHypervisorLogRequest, WatchEventsRequest,
};

use crate::daemon::{Daemon, reason};

const SERVICES: [&str; 10] = [
    "xlfs.v1.BuildService",
    "xlfs.v1.ConsoleService",
    "xlfs.v1.DomainService",
    "xlfs.v1.EventService",
    "xlfs.v1.HostService",
    "xlfs.v1.ImageService",
    "xlfs.v1.RecipeService",
    "xlfs.v1.SourceService",
    "xlfs.v1.TaskService",
    "xlfs.v1.TemplateService",
];

/// The two versions of reflection have the same messages in two packages.
macro_rules! list_services {
    ($version:ident, $channel:expr) => {{
        use $version::server_reflection_client::ServerReflectionClient;
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;
        let request = $version::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = ServerReflectionClient::new($channel);
        let mut replies = client
            .server_reflection_info(tokio_stream::iter([request]))
            .await
            .unwrap()
            .into_inner();
        match replies.message().await.unwrap().unwrap().message_response {
            Some(MessageResponse::ListServicesResponse(list)) => {
                list.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test]
async fn reflection_lists_every_service() {
    let daemon = Daemon::start().await;
    let channel = daemon.connect().await;
    for names in [list_services!(v1, channel.clone()), list_services!(v1alpha, channel)] {
        for service in SERVICES.iter().chain(&["grpc.health.v1.Health"]) {
            assert!(names.iter().any(|name| name == service), "{service} in {names:?}");
        }
    }
}

#[tokio::test]
async fn health_knows_the_services_by_name() {
    let daemon = Daemon::start().await;
    let mut client = HealthClient::new(daemon.connect().await);
    for service in ["", "xlfs.v1.ImageService", "xlfs.v1.HostService"] {
        let request = HealthCheckRequest { service: service.into() };
        let reply = client.check(request).await.unwrap().into_inner();
        assert_eq!(reply.status(), ServingStatus::Serving, "{service}");
    }
    let request = HealthCheckRequest { service: "xlfs.v1.Nothing".into() };
    assert_eq!(client.check(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn without_xen_the_host_says_so_and_answers() {
    let daemon = Daemon::start().await;
    let mut client = HostServiceClient::new(daemon.connect().await);
    let host = client.get_host(GetHostRequest {}).await.unwrap().into_inner();
    assert!(host.hypervisor.is_none());
    assert_eq!(host.hypervisor_problem, "no Xen in this test");
    assert!(host.xlfsd.unwrap().resident_kib > 100);
    assert!(!host.hostname.is_empty() && !host.kernel.is_empty());
    let request = ReadHypervisorLogRequest { clear: false };
    let status = client.read_hypervisor_log(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "NO_HYPERVISOR"));
}

/// As gRPC's C core (Python, C++, Ruby) and grpc-java call over a Unix socket:
/// with the socket's path as the authority, which Rust's clients cannot send.
#[tokio::test]
async fn clients_that_name_the_socket_as_authority_are_served() {
    let daemon = Daemon::start().await;
    // The name as an index, and written out (the C core does that).
    let names = [&b"\x41"[..], b"\x40\x0a:authority"];
    let authorities = ["tmp%2Fxlfsd.sock", "/tmp/xlfsd.sock", "localhost"];
    for (name, authority) in names.iter().flat_map(|name| authorities.map(|value| (name, value))) {
        let mut stream = tokio::net::UnixStream::connect(&daemon.config.socket).await.unwrap();
        let mut fields = [&[0x83, 0x86][..], name, &[authority.len() as u8]].concat();
        fields.extend(authority.as_bytes());
        for (index, value) in [(0x44, "/grpc.health.v1.Health/Check"), (0x5f, "application/grpc")] {
            fields.extend([index, value.len() as u8]);
            fields.extend(value.as_bytes());
        }
        let mut call = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        call.extend([0, 0, fields.len() as u8, 1, 4, 0, 0, 0, 1]);
        call.extend(fields);
        call.extend(b"\0\0\x05\0\x01\0\0\0\x01\0\0\0\0\0");
        stream.write_all(&call).await.unwrap();
        let kind = loop {
            let mut header = [0; 9];
            stream.read_exact(&mut header).await.unwrap();
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            if header[8] == 1 {
                break header[3];
            }
        };
        assert_eq!(kind, 1, "headers are answered to {authority}, and no reset");
    }
}

#[tokio::test]
async fn stopping_ends_the_streams_and_says_why() {
    let daemon = Daemon::start().await;
    let mut client = EventServiceClient::new(daemon.connect().await);
    let mut events = client.watch_events(WatchEventsRequest::default()).await.unwrap().into_inner();
    daemon.stopping.cancel();
    let status = events.next().await.unwrap().unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "STOPPING"));
    daemon.stop().await;
}

#[tokio::test]
async fn clients_beyond_the_limit_wait_for_a_place() {
    let daemon = Daemon::start_with(|config| config.server.connections = 1).await;
    let first = daemon.connect().await;
    let list = ListTasksRequest::default;
    TaskServiceClient::new(first.clone()).list_tasks(list()).await.unwrap();
    let second = daemon.connect().await;
    let mut second = TaskServiceClient::new(second);
    let waiting = tokio::time::timeout(Duration::from_millis(300), second.list_tasks(list()));
    assert!(waiting.await.is_err(), "the place is taken");
    drop(first);
    let served = tokio::time::timeout(Duration::from_secs(30), second.list_tasks(list()));
    served.await.unwrap().unwrap();
}
