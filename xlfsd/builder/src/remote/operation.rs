//! An action under way: started, waited for also when the connection breaks, and
//! cancelled.

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status, Streaming};

use super::connection::passing;
use super::upload::from_wire;
use super::{Remote, RemoteError};
use crate::digest::Digest;
use crate::reapi;
use crate::reapi::action_cache_client::ActionCacheClient;
use crate::reapi::execution_client::ExecutionClient;
use crate::reapi::execution_stage::Value as Stage;
use crate::reapi::google::longrunning::operations_client::OperationsClient;
use crate::reapi::google::longrunning::{CancelOperationRequest, Operation, operation};

/// A connection that breaks is made again so often, without progress between.
const TRIES: u32 = 3;

impl Remote {
    /// What the service's cache says of an action.
    pub(super) async fn action_result(
        &self,
        action: &Digest,
    ) -> Result<Option<reapi::ActionResult>, RemoteError> {
        let question = || async {
            let request = reapi::GetActionResultRequest {
                instance_name: self.instance(),
                action_digest: Some(action.into()),
                ..Default::default()
            };
            ActionCacheClient::new(self.channel()).get_action_result(request).await
        };
        match self.ask("look into its cache", question).await {
            Ok(result) => Ok(Some(result)),
            Err(RemoteError::Refused { code: Code::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Runs an action, whatever the cache has, and waits for its end.
    pub(super) async fn execute(
        &self,
        action: &Digest,
        begin: &mut (impl FnMut(&str) + Send),
    ) -> Result<reapi::ActionResult, RemoteError> {
        let mut tries = 0;
        let mut name = String::new();
        loop {
            let mut client = ExecutionClient::new(self.channel());
            let stream = if name.is_empty() {
                let request = reapi::ExecuteRequest {
                    instance_name: self.instance(),
                    // The cache was asked before; what it has now is a failure.
                    skip_cache_lookup: true,
                    action_digest: Some(action.into()),
                    ..Default::default()
                };
                client.execute(request).await
            } else {
                client.wait_execution(reapi::WaitExecutionRequest { name: name.clone() }).await
            };
            let ended = match stream {
                Ok(stream) => {
                    let before = name.clone();
                    let ended = self.follow(action, stream.into_inner(), &mut name, begin).await;
                    if name != before {
                        tries = 0;
                    }
                    ended
                }
                Err(status) => Err(status),
            };
            let status = match ended {
                Ok(response) => {
                    self.operations.lock().remove(action);
                    return self.result(response);
                }
                Err(status) => status,
            };
            tries += 1;
            if status.code() == Code::NotFound && !name.is_empty() {
                // It forgot the operation (it was started again, say): once more from the start.
                name.clear();
            } else if !passing(&status) || tries > TRIES {
                self.operations.lock().remove(action);
                return Err(self.failed("run the action", status).await);
            }
            tokio::time::sleep(Duration::from_secs(u64::from(tries))).await;
        }
    }

    /// Reads what the service tells of an operation, to its end.
    async fn follow(
        &self,
        action: &Digest,
        mut stream: Streaming<Operation>,
        name: &mut String,
        begin: &mut (impl FnMut(&str) + Send),
    ) -> Result<reapi::ExecuteResponse, Status> {
        let (mut last, mut queued) = (None, false);
        while let Some(told) = stream.message().await? {
            if *name != told.name {
                name.clone_from(&told.name);
                self.operations.lock().insert(action.clone(), told.name.clone());
            }
            if told.done {
                return match told.result {
                    Some(operation::Result::Error(status)) => Err(from_wire(status)),
                    Some(operation::Result::Response(any)) => {
                        reapi::ExecuteResponse::decode(any.value.as_slice())
                            .map_err(|error| Status::data_loss(error.to_string()))
                    }
                    None => Err(Status::data_loss("an operation without an end")),
                };
            }
            let metadata = told
                .metadata
                .and_then(|any| reapi::ExecuteOperationMetadata::decode(any.value.as_slice()).ok());
            let stage = metadata.map(|it| it.stage());
            if stage != last {
                last = stage;
                match stage {
                    Some(Stage::Queued) => {
                        queued = true;
                        begin("queued");
                    }
                    Some(Stage::Executing) if queued => begin("remote"),
                    _ => {}
                }
            }
        }
        Err(Status::unavailable("it stopped telling of the action"))
    }

    fn result(&self, response: reapi::ExecuteResponse) -> Result<reapi::ActionResult, RemoteError> {
        let status = response.status.unwrap_or_default();
        if status.code != 0 {
            return Err(self.refused("run the action", from_wire(status)));
        }
        response.result.ok_or_else(|| self.nonsense("the action ended without a result"))
    }

    /// Asks the service to end an action that nobody waits for any more. One that
    /// does not hear only wastes its own time.
    pub(super) async fn cancel(&self, action: &Digest) {
        let Some(name) = self.operations.lock().remove(action) else { return };
        let mut client = OperationsClient::new(self.channel());
        let asked = client.cancel_operation(CancelOperationRequest { name });
        let _ = tokio::time::timeout(Duration::from_secs(5), asked).await;
    }
}
