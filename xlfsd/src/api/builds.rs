//! `BuildService`: packages and images built from source.

use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use xlfs_proto::v1 as pb;
use xlfs_proto::v1::build_service_server::BuildService;

use super::{ReplyStream, until_stopping};
use crate::build::Builds;

#[derive(Debug)]
pub(super) struct BuildApi {
    pub(super) builds: Builds,
    pub(super) stopping: CancellationToken,
}

impl BuildApi {
    fn stream<T: Send + 'static>(&self, stream: ReplyStream<T>) -> Response<ReplyStream<T>> {
        Response::new(until_stopping(stream, self.stopping.clone()))
    }
}

#[tonic::async_trait]
impl BuildService for BuildApi {
    type WatchBuildStream = ReplyStream<pb::BuildEvent>;
    type ReadBuildLogStream = ReplyStream<pb::BuildLogPart>;
    type ListPackageFilesStream = ReplyStream<pb::PackageFiles>;
    type VerifyBuildStream = ReplyStream<pb::VerifiedPackage>;
    type ExportBuildStream = ReplyStream<pb::ExportPart>;
    type OpenBuildShellStream = ReplyStream<pb::BuildShellOutput>;

    async fn plan_build(
        &self,
        request: Request<pb::BuildRequest>,
    ) -> Result<Response<pb::BuildPlan>, Status> {
        Ok(Response::new(self.builds.plan(request.into_inner()).await?))
    }

    async fn start_build(
        &self,
        request: Request<pb::StartBuildRequest>,
    ) -> Result<Response<pb::Build>, Status> {
        Ok(Response::new(self.builds.start(request.into_inner()).await?))
    }

    async fn list_builds(
        &self,
        _: Request<pb::ListBuildsRequest>,
    ) -> Result<Response<pb::ListBuildsResponse>, Status> {
        Ok(Response::new(pb::ListBuildsResponse { builds: self.builds.list() }))
    }

    async fn get_build(
        &self,
        request: Request<pb::GetBuildRequest>,
    ) -> Result<Response<pb::Build>, Status> {
        Ok(Response::new(self.builds.get(&request.get_ref().id)?))
    }

    async fn watch_build(
        &self,
        request: Request<pb::WatchBuildRequest>,
    ) -> Result<Response<Self::WatchBuildStream>, Status> {
        let pb::WatchBuildRequest { id, from } = request.into_inner();
        Ok(self.stream(self.builds.watch(&id, from).await?))
    }

    async fn cancel_build(
        &self,
        request: Request<pb::CancelBuildRequest>,
    ) -> Result<Response<pb::Build>, Status> {
        let pb::CancelBuildRequest { id, dry_run } = request.into_inner();
        Ok(Response::new(self.builds.cancel(&id, dry_run)?))
    }

    async fn read_build_log(
        &self,
        request: Request<pb::PackageRequest>,
    ) -> Result<Response<Self::ReadBuildLogStream>, Status> {
        Ok(self.stream(self.builds.log(request.into_inner()).await?))
    }

    async fn list_package_files(
        &self,
        request: Request<pb::PackageRequest>,
    ) -> Result<Response<Self::ListPackageFilesStream>, Status> {
        Ok(self.stream(self.builds.files(request.into_inner()).await?))
    }

    async fn draw_build(
        &self,
        request: Request<pb::DrawBuildRequest>,
    ) -> Result<Response<pb::BuildPicture>, Status> {
        let svg = self.builds.draw(request.into_inner()).await?;
        Ok(Response::new(pb::BuildPicture { svg }))
    }

    async fn verify_build(
        &self,
        request: Request<pb::BuildRequest>,
    ) -> Result<Response<Self::VerifyBuildStream>, Status> {
        Ok(self.stream(self.builds.verify(request.into_inner()).await?))
    }

    async fn collect_store(
        &self,
        request: Request<pb::CollectStoreRequest>,
    ) -> Result<Response<pb::CollectStoreResponse>, Status> {
        Ok(Response::new(self.builds.collect(request.into_inner()).await?))
    }

    async fn export_build(
        &self,
        request: Request<pb::ExportBuildRequest>,
    ) -> Result<Response<Self::ExportBuildStream>, Status> {
        Ok(self.stream(self.builds.export(request.into_inner()).await?))
    }

    async fn open_build_shell(
        &self,
        request: Request<Streaming<pb::BuildShellInput>>,
    ) -> Result<Response<Self::OpenBuildShellStream>, Status> {
        Ok(self.stream(self.builds.shell(request.into_inner()).await?))
    }
}
