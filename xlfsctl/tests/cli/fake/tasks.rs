//! Tasks of the fake daemon: each goes through the states that its test wrote
//! down. The last state waits for a cancel where it is not an end.

use std::time::Duration;

use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};
use xlfs_proto::v1::task_service_server::TaskService;
use xlfs_proto::v1::{
    CancelTaskRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse, StepState, Task,
    TaskError, TaskState, TaskStep,
};

use super::domains::MOMENT;
use super::{Stage, not_found};

const STEPS: [&str; 3] = ["reserve-memory", "load-kernel", "unpause"];

/// A task at this state, with `done` steps behind it.
pub(crate) fn task(id: &str, kind: &str, object: &str, state: TaskState, done: usize) -> Task {
    let steps = STEPS.iter().enumerate().map(|(at, name)| TaskStep {
        name: (*name).to_owned(),
        object: format!("guest {object}"),
        state: match (at.cmp(&done), state) {
            (std::cmp::Ordering::Less, _) => StepState::Done,
            (std::cmp::Ordering::Equal, TaskState::Running) => StepState::Running,
            (std::cmp::Ordering::Equal, TaskState::Failed) => StepState::Failed,
            _ => StepState::Waiting,
        }
        .into(),
        took: Some(prost_types::Duration { seconds: 1, nanos: 250_000_000 }),
    });
    let ended = matches!(state, TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled);
    Task {
        id: id.to_owned(),
        kind: kind.to_owned(),
        object: object.to_owned(),
        state: state.into(),
        percent: u32::try_from(done * 100 / STEPS.len()).expect("small"),
        steps: steps.collect(),
        started: Some(MOMENT),
        ended: ended.then_some(prost_types::Timestamp { seconds: MOMENT.seconds + 4, ..MOMENT }),
        error: None,
        log: Vec::new(),
    }
}

/// The states of a task that goes well.
pub(crate) fn success(id: &str, kind: &str, object: &str) -> Vec<Task> {
    let running = (0..STEPS.len()).map(|done| task(id, kind, object, TaskState::Running, done));
    running.chain([task(id, kind, object, TaskState::Succeeded, STEPS.len())]).collect()
}

/// A task that failed at its second step.
pub(crate) fn failure(id: &str, kind: &str, object: &str) -> Task {
    let mut failed = task(id, kind, object, TaskState::Failed, 1);
    failed.error = Some(TaskError {
        code: tonic::Code::Internal.into(),
        message: "the kernel cannot be loaded".to_owned(),
        reason: "KERNEL_UNREADABLE".to_owned(),
        step: "load-kernel".to_owned(),
        object: format!("guest {object}"),
        causes: vec!["it is no ELF file".to_owned()],
        hint: "import another kernel".to_owned(),
        leftovers: vec!["domain 7".to_owned()],
    });
    failed
}

#[async_trait]
impl TaskService for Stage {
    type WatchTaskStream = BoxStream<'static, Result<Task, Status>>;

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        self.heard(&request.into_inner());
        let world = self.world();
        let mut tasks: Vec<_> =
            world.tasks.values().filter_map(|states| states.last().cloned()).collect();
        tasks.sort_by(|a, b| b.id.cmp(&a.id));
        Ok(Response::new(ListTasksResponse { tasks }))
    }

    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<Task>, Status> {
        let id = request.into_inner().id;
        let found = self.world().tasks.get(&id).and_then(|states| states.last().cloned());
        found.map(Response::new).ok_or_else(|| not_found("task", &id))
    }

    async fn watch_task(
        &self,
        request: Request<GetTaskRequest>,
    ) -> Result<Response<Self::WatchTaskStream>, Status> {
        let id = request.into_inner().id;
        let states = self.world().tasks.get(&id).cloned();
        let mut states = states.ok_or_else(|| not_found("task", &id))?;
        let cut = {
            let mut world = self.world();
            let before = world.cut_once.len();
            world.cut_once.retain(|cut| *cut != id);
            before != world.cut_once.len()
        };
        if cut {
            let mut world = self.world();
            if world.forgets {
                world.tasks.remove(&id);
            }
            states.truncate(1);
            return Ok(Response::new(Box::pin(futures::stream::iter(states.into_iter().map(Ok)))));
        }
        let (updates, stream) = mpsc::channel(1);
        let stage = self.clone();
        tokio::spawn(async move {
            let mut last = Task::default();
            for state in states {
                last = state.clone();
                if updates.send(Ok(state)).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            while last.ended.is_none() && !updates.is_closed() {
                let cancelled = {
                    let world = stage.world();
                    world.cancelled.contains(&id) && !world.deaf
                };
                if cancelled {
                    let end = task(&id, &last.kind, &last.object, TaskState::Cancelled, 1);
                    let _ = updates.send(Ok(end)).await;
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn cancel_task(
        &self,
        request: Request<CancelTaskRequest>,
    ) -> Result<Response<Task>, Status> {
        let request = request.into_inner();
        self.heard(&request);
        let found = self.world().tasks.get(&request.id).and_then(|states| states.last().cloned());
        let task = found.ok_or_else(|| not_found("task", &request.id))?;
        if !request.dry_run {
            self.world().cancelled.push(request.id);
        }
        Ok(Response::new(task))
    }
}
