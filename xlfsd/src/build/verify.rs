//! Building packages a second time to compare them. It takes the place of a build,
//! and ends when nobody waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use xlfs_builder::build::{Builder, Verified};
use xlfs_builder::sandbox;
use xlfs_proto::v1 as pb;

use super::record::Asked;
use super::table::Occupant;
use super::{Builds, problem, run};
use crate::api::ReplyStream;
use crate::problem::Problem;

/// One message for each package; there are not many.
type Results = mpsc::UnboundedSender<Result<pb::VerifiedPackage, Status>>;

impl Builds {
    /// Builds the targets again, and compares.
    pub async fn verify(
        &self,
        request: pb::BuildRequest,
    ) -> Result<ReplyStream<pb::VerifiedPackage>, Problem> {
        let place = self.occupy(Occupant::Verification)?;
        let in_use = self.in_use().await;
        let this = self.clone();
        let set = request.set.clone();
        let (builder, asked) = self
            .on_threads(move || {
                sandbox::find().map_err(|_| problem::no_sandbox())?;
                let builder = this.builder(&set)?;
                let asked = run::asked(&builder, request)?;
                Ok::<_, Problem>((builder, asked))
            })
            .await??;
        let (results, stream) = mpsc::unbounded_channel();
        let work = async move {
            let done = verify(&builder, &asked, &results).await;
            // Whoever sees the end may take the place, and collect the store.
            drop(builder);
            drop((in_use, place));
            if let Err(problem) = done {
                // Nobody else to tell.
                let _ = results.send(Err(problem.into()));
            }
        };
        let work = AbortOnDropHandle::new(self.threads()?.spawn(work));
        Ok(Box::pin(Attended { stream: UnboundedReceiverStream::new(stream), _work: work }))
    }
}

/// Verifies the targets, and tells of each as soon as it is compared.
async fn verify(builder: &Builder, asked: &Asked, results: &Results) -> Result<(), Problem> {
    let told = |one: &Verified| {
        // When nobody listens any more, all of this is about to be dropped.
        let _ = results.send(Ok(message(one)));
    };
    let verified = builder.verify_each(&asked.request(), told).await;
    verified.map(drop).map_err(|error| problem::of(&error))
}

/// Results, and the work that ends with who reads them.
struct Attended {
    stream: UnboundedReceiverStream<Result<pb::VerifiedPackage, Status>>,
    _work: AbortOnDropHandle<()>,
}

impl Stream for Attended {
    type Item = Result<pb::VerifiedPackage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.stream).poll_next(cx)
    }
}

fn message(verified: &Verified) -> pb::VerifiedPackage {
    let differences = verified.differences.iter().map(|it| pb::FileDifference {
        output: it.output.clone(),
        path: it.path.clone(),
        how: it.how.to_owned(),
    });
    pb::VerifiedPackage { package: verified.package.clone(), differences: differences.collect() }
}
