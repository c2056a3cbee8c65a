//! A shell in a package's sandbox.

use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use xlfs_proto::v1::build_service_client::BuildServiceClient;
use xlfs_proto::v1::build_shell_input::{Open, Part as Input};
use xlfs_proto::v1::build_shell_output::Part as Output;
use xlfs_proto::v1::{BuildShellInput, CollectStoreRequest};

use crate::daemon::reason;
use crate::tiny::{build, client, daemon, package};

fn open(package: &str, step: &str) -> BuildShellInput {
    let (package, step) = (package.to_owned(), step.to_owned());
    let open = Open { package, step, term: "dumb".to_owned(), ..Open::default() };
    BuildShellInput { part: Some(Input::Open(open)) }
}

fn typed(text: &str) -> BuildShellInput {
    BuildShellInput { part: Some(Input::Data(text.as_bytes().to_vec())) }
}

#[tokio::test]
async fn a_shell_shows_what_a_failure_left_and_ends_with_its_code() {
    let daemon = daemon().await;
    let mut client = client(&daemon).await;
    package(&daemon, "bad", &[], "echo left > $OUT/x; exit 3");
    build(&mut client, &["bad"]).await;
    let input = [open("bad", ""), typed("read word < $OUT/x; echo \"it is $word.\"; exit 7\n")];
    // The caller's side stays open, as a person's does.
    let input = tokio_stream::iter(input).chain(tokio_stream::pending());
    let mut output = client.open_build_shell(input).await.unwrap().into_inner();
    let (mut text, mut code) = (String::new(), None);
    while let Some(part) = output.next().await {
        match part.unwrap().part.unwrap() {
            Output::Data(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Output::ExitCode(it) => code = Some(it),
            Output::Notice(_) => {}
        }
    }
    assert_eq!(code, Some(7), "{text}");
    assert!(text.contains("step install failed") && text.contains("it is left."), "{text}");
    // A shell that is left is gone, and holds up no collection.
    let (keys, input) = mpsc::channel(1);
    keys.send(open("bad", "")).await.unwrap();
    let input = ReceiverStream::new(input);
    let mut left = client.open_build_shell(input).await.unwrap().into_inner();
    left.next().await.unwrap().unwrap();
    drop((keys, left));
    client.collect_store(CollectStoreRequest::default()).await.unwrap();
}

/// The first answer that is no notice.
async fn first(
    client: &mut BuildServiceClient<Channel>,
    input: BuildShellInput,
) -> Result<(), Status> {
    let mut output = client.open_build_shell(tokio_stream::iter([input])).await?.into_inner();
    while let Some(part) = output.next().await {
        if !matches!(part?.part, Some(Output::Notice(_))) {
            break;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_shell_that_cannot_be_opened_says_why() {
    let daemon = daemon().await;
    let mut client = client(&daemon).await;
    package(&daemon, "a", &[], "true");
    package(&daemon, "b", &["a"], "true");
    let status = first(&mut client, open("a", "launch")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NO_SUCH_STEP"));
    let status = first(&mut client, open("gone", "")).await.unwrap_err();
    assert_eq!(reason(&status), "NO_SUCH_PACKAGE");
    let status = first(&mut client, open("b", "")).await.unwrap_err();
    assert_eq!(reason(&status), "NOT_BUILT");
    let status = first(&mut client, typed("ls")).await.unwrap_err();
    assert_eq!(reason(&status), "BAD_SHELL_INPUT");
}
