//! Tasks, watched from outside.

use tokio_stream::StreamExt;
use tonic::Code;
use xlfs_proto::v1::task_service_client::TaskServiceClient;
use xlfs_proto::v1::{
    CancelTaskRequest, GetTaskRequest, ListTasksRequest, StepState, Task, TaskState,
};
use xlfsd::problem::Problem;
use xlfsd::task::PlannedStep;

use crate::daemon::{Daemon, reason};

fn steps() -> Vec<PlannedStep> {
    vec![PlannedStep::new("reserve-memory", "64 MiB"), PlannedStep::new("create-domain", "web")]
}

#[tokio::test]
async fn a_task_is_watched_to_its_end() {
    let daemon = Daemon::start().await;
    let mut client = TaskServiceClient::new(daemon.connect().await);
    let handle = daemon.base.tasks.begin("create", "web", steps());
    let request = GetTaskRequest { id: handle.id().to_owned() };
    let mut watch = client.watch_task(request.clone()).await.unwrap().into_inner();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!((first.state(), first.percent), (TaskState::Running, 0));
    handle.step_started(0);
    handle.step_failed(0);
    handle.log("12 MiB are free");
    let problem = Problem::resource_exhausted("MEMORY_EXHAUSTED", "not enough memory")
        .step("reserve-memory")
        .hint("Stop a guest.");
    handle.finish(Err(problem));
    let rest: Vec<Task> = watch.map(Result::unwrap).collect().await;
    let last = rest.last().unwrap();
    assert_eq!(last.state(), TaskState::Failed);
    assert_eq!(last.steps[0].state(), StepState::Failed);
    assert_eq!(last.log[0].text, "12 MiB are free");
    let error = last.error.as_ref().unwrap();
    assert_eq!(
        (error.code, error.reason.as_str()),
        (Code::ResourceExhausted as i32, "MEMORY_EXHAUSTED")
    );
    assert_eq!(client.get_task(request).await.unwrap().into_inner(), *last);
    let list = client.list_tasks(ListTasksRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.tasks.len(), 1);
}

#[tokio::test]
async fn a_running_task_is_cancelled_and_an_ended_one_refuses() {
    let daemon = Daemon::start().await;
    let mut client = TaskServiceClient::new(daemon.connect().await);
    let handle = daemon.base.tasks.begin("create", "web", steps());
    let request = CancelTaskRequest { id: handle.id().to_owned(), dry_run: false };
    client.cancel_task(request.clone()).await.unwrap();
    handle.cancel_token().cancelled().await;
    handle.finish(Err(Problem::cancelled("asked for")));
    let status = client.cancel_task(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "TASK_ENDED"));
    let unknown = GetTaskRequest { id: "x".into() };
    let status = client.get_task(unknown.clone()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NO_SUCH_TASK"));
    assert_eq!(client.watch_task(unknown).await.unwrap_err().code(), Code::NotFound);
}
