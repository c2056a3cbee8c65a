//! `TaskService`: the task registry.

use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use xlfs_proto::v1::task_service_server::TaskService;
use xlfs_proto::v1::{
    CancelTaskRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse, Task,
};

use super::{ReplyStream, until_stopping};
use crate::task::TaskRegistry;

#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) registry: TaskRegistry,
    pub(super) stopping: CancellationToken,
}

#[tonic::async_trait]
impl TaskService for Tasks {
    type WatchTaskStream = ReplyStream<Task>;

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        let ListTasksRequest { object, running_only } = request.into_inner();
        let tasks = self.registry.list(&object, running_only);
        Ok(Response::new(ListTasksResponse { tasks }))
    }

    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<Task>, Status> {
        Ok(Response::new(self.registry.get(&request.get_ref().id)?))
    }

    async fn watch_task(
        &self,
        request: Request<GetTaskRequest>,
    ) -> Result<Response<Self::WatchTaskStream>, Status> {
        let watch = self.registry.watch(&request.get_ref().id)?;
        Ok(Response::new(until_stopping(watch.map(Ok), self.stopping.clone())))
    }

    async fn cancel_task(
        &self,
        request: Request<CancelTaskRequest>,
    ) -> Result<Response<Task>, Status> {
        let CancelTaskRequest { id, dry_run } = request.into_inner();
        Ok(Response::new(self.registry.cancel(&id, dry_run)?))
    }
}
