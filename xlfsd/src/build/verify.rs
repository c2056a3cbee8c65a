//! Building packages a second time to compare them. It takes the place of a build,
//! and ends when nobody waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use xlfs_builder::build::{Request, Verified};
use xlfs_builder::sandbox;
use xlfs_proto::v1 as pb;

use super::table::Occupant;
use super::{Builds, problem, run};
use crate::api::ReplyStream;
use crate::problem::Problem;

impl Builds {
    /// Verifies the packages among the targets, one after another.
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
        let (results, stream) = mpsc::channel(1);
        let work = async move {
            let (_place, _in_use) = (place, in_use);
            // An image cannot be built again by itself: its packages are.
            let is_image = |it: &String| builder.set().images.contains_key(it);
            let (images, mut packages): (Vec<_>, Vec<_>) =
                asked.targets.iter().cloned().partition(is_image);
            if !images.is_empty() {
                match builder.plan(&Request { targets: images, ..asked.request() }) {
                    Ok(plan) => packages.extend(plan.packages.into_iter().map(|it| it.package)),
                    Err(error) => {
                        // Nobody else to tell.
                        let _ = results.send(Err(problem::of(&error).into())).await;
                        return;
                    }
                }
            }
            packages.sort();
            packages.dedup();
            for package in packages {
                let request = Request { targets: vec![package], ..asked.request() };
                let verified = builder.verify(&request).await;
                let failed = verified.is_err();
                let verified = verified.map_err(|error| Status::from(problem::of(&error)));
                let told = match verified {
                    Ok(list) => list.into_iter().map(|it| Ok(message(it))).collect(),
                    Err(status) => vec![Err(status)],
                };
                for one in told {
                    if results.send(one).await.is_err() {
                        return;
                    }
                }
                if failed {
                    return;
                }
            }
        };
        let work = AbortOnDropHandle::new(self.threads()?.spawn(work));
        Ok(Box::pin(Attended { stream: ReceiverStream::new(stream), _work: work }))
    }
}

/// Results, and the work that ends with who reads them.
struct Attended {
    stream: ReceiverStream<Result<pb::VerifiedPackage, Status>>,
    _work: AbortOnDropHandle<()>,
}

impl Stream for Attended {
    type Item = Result<pb::VerifiedPackage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.stream).poll_next(cx)
    }
}

fn message(verified: Verified) -> pb::VerifiedPackage {
    let differences = verified.differences.into_iter().map(|it| pb::FileDifference {
        output: it.output,
        path: it.path,
        how: it.how.to_owned(),
    });
    pb::VerifiedPackage { package: verified.package, differences: differences.collect() }
}
