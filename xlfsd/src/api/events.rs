//! `EventService`: the event bus as a stream.

use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use xlfs_proto::v1::event_service_server::EventService;
use xlfs_proto::v1::{Event, WatchEventsRequest};

use super::{ReplyStream, until_stopping};
use crate::event::{EventBus, EventFilter};

#[derive(Debug)]
pub(super) struct Events {
    pub(super) bus: EventBus,
    pub(super) stopping: CancellationToken,
}

#[tonic::async_trait]
impl EventService for Events {
    type WatchEventsStream = ReplyStream<Event>;

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let request = request.into_inner();
        let filter = EventFilter::domain(&request.domain);
        let events = self.bus.subscribe(request.after, filter);
        let events = events.map(|event| Ok(Event::clone(&event)));
        Ok(Response::new(until_stopping(events, self.stopping.clone())))
    }
}
