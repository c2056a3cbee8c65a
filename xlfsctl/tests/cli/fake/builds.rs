//! Builds, sources and recipes, played.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tonic::{Code, Request, Response, Status, Streaming};
use xlfs_proto::v1;
use xlfs_proto::v1::add_source_request::Part as Added;
use xlfs_proto::v1::build_event::Kind;
use xlfs_proto::v1::build_log_part::Part as LogPart;
use xlfs_proto::v1::build_service_server::BuildService;
use xlfs_proto::v1::build_shell_input::Part as Typed;
use xlfs_proto::v1::build_shell_output::Part as Printed;
use xlfs_proto::v1::export_part::Part as Exported;
use xlfs_proto::v1::recipe_service_server::RecipeService;
use xlfs_proto::v1::source_event::Kind as SourceKind;
use xlfs_proto::v1::source_service_server::SourceService;

use super::domains::MOMENT;
use super::{Stage, not_found, refusal};

/// A plan of three packages.
pub(crate) fn plan() -> v1::BuildPlan {
    let package =
        |name: &str, standing: v1::PackageStanding, reason: &str, seconds| v1::PlannedPackage {
            name: name.to_owned(),
            version: "1.2.13".to_owned(),
            toolchain: "host".to_owned(),
            standing: standing.into(),
            reasons: vec![reason.to_owned()],
            seconds,
            failure: None,
        };
    let why =
        "step configure changed (0123456789ab -> ba9876543210), source is new, toolchain changed";
    let mut failed = package("zlib", v1::PackageStanding::Build, why, Some(75.0));
    failed.failure = Some(v1::PackageFailure {
        step: "build".to_owned(),
        reason: "step build failed (exit code 2)".to_owned(),
        started: Some(MOMENT),
        seconds: 3.0,
    });
    v1::BuildPlan {
        set: "12".to_owned(),
        targets: vec!["openssh".to_owned()],
        packages: vec![
            package("host-musl", v1::PackageStanding::Cached, "", Some(50.0)),
            failed,
            package("openssh", v1::PackageStanding::Perhaps, "zlib", None),
        ],
        estimate_seconds: 75.0,
        guessed: 0,
        missing_inputs: Vec::new(),
    }
}

pub(crate) fn build(id: &str, state: v1::BuildState) -> v1::Build {
    let request = v1::BuildRequest {
        set: "12".to_owned(),
        targets: vec!["openssh".to_owned()],
        ..v1::BuildRequest::default()
    };
    let ended = prost_types::Timestamp { seconds: MOMENT.seconds + 75, ..MOMENT };
    v1::Build {
        id: id.to_owned(),
        request: Some(request),
        state: state.into(),
        started: Some(MOMENT),
        ended: (state != v1::BuildState::Running).then_some(ended),
        counts: Some(v1::BuildCounts { packages: 3, built: 1, cached: 1, ..Default::default() }),
        plan: Some(plan()),
        events: 4,
        ..v1::Build::default()
    }
}

/// The events of a build that ends so.
pub(crate) fn events(state: v1::BuildState, cause: v1::FailureCause) -> Vec<v1::BuildEvent> {
    let zlib = || "zlib".to_owned();
    let mut kinds = vec![
        Kind::Begun(v1::BuildBegun { packages: 3 }),
        Kind::Cached("host-musl".to_owned()),
        Kind::Started(v1::PackageStarted { package: zlib(), estimate_seconds: Some(75.0) }),
        Kind::Step(v1::PackageStep { package: zlib(), step: "build".to_owned() }),
    ];
    match state {
        v1::BuildState::Failed => {
            kinds.push(Kind::Failed(v1::PackageFailed {
                package: zlib(),
                step: "build".to_owned(),
                reason: "step build failed (exit code 2)".to_owned(),
                tail: vec!["cc: no such file\x1b[2J".to_owned()],
                cause: cause.into(),
            }));
            let because = zlib();
            kinds
                .push(Kind::Skipped(v1::PackageSkipped { package: "openssh".to_owned(), because }));
        }
        _ => kinds.push(Kind::Built(v1::PackageBuilt {
            package: zlib(),
            seconds: 60.0,
            changed: false,
        })),
    }
    let counts = v1::BuildCounts { packages: 3, built: 1, cached: 1, ..Default::default() };
    let counts = Some(counts);
    kinds.push(Kind::Finished(v1::BuildFinished { state: state.into(), counts, seconds: 75.0 }));
    let event = |(number, kind)| v1::BuildEvent { number, time: Some(MOMENT), kind: Some(kind) };
    (0..).zip(kinds).map(event).collect()
}

type Reply<T> = BoxStream<'static, Result<T, Status>>;

fn stream<T: Send + 'static>(list: Vec<T>) -> Response<Reply<T>> {
    Response::new(futures::stream::iter(list.into_iter().map(Ok)).boxed())
}

#[tonic::async_trait]
impl BuildService for Stage {
    type WatchBuildStream = Reply<v1::BuildEvent>;
    type ReadBuildLogStream = Reply<v1::BuildLogPart>;
    type ListPackageFilesStream = Reply<v1::PackageFiles>;
    type VerifyBuildStream = Reply<v1::VerifiedPackage>;
    type ExportBuildStream = Reply<v1::ExportPart>;
    type OpenBuildShellStream = Reply<v1::BuildShellOutput>;

    async fn plan_build(
        &self,
        request: Request<v1::BuildRequest>,
    ) -> Result<Response<v1::BuildPlan>, Status> {
        self.heard(&request.into_inner());
        Ok(Response::new(plan()))
    }

    async fn start_build(
        &self,
        request: Request<v1::StartBuildRequest>,
    ) -> Result<Response<v1::Build>, Status> {
        self.heard(&request.into_inner());
        if self.world().build_events.is_empty() {
            let message = "build 6 runs (dom0)";
            return Err(refusal(Code::FailedPrecondition, "BUILD_RUNNING", message));
        }
        Ok(Response::new(build("7", v1::BuildState::Running)))
    }

    async fn list_builds(
        &self,
        _: Request<v1::ListBuildsRequest>,
    ) -> Result<Response<v1::ListBuildsResponse>, Status> {
        Ok(Response::new(v1::ListBuildsResponse { builds: self.world().builds.clone() }))
    }

    async fn get_build(
        &self,
        request: Request<v1::GetBuildRequest>,
    ) -> Result<Response<v1::Build>, Status> {
        let id = request.into_inner().id;
        let world = self.world();
        let found = world.builds.iter().find(|it| id.is_empty() || it.id == id).cloned();
        found.map(Response::new).ok_or_else(|| not_found("build", &id))
    }

    /// Each connection gets as many events as the world says, the last one the rest.
    async fn watch_build(
        &self,
        request: Request<v1::WatchBuildRequest>,
    ) -> Result<Response<Self::WatchBuildStream>, Status> {
        let request = request.into_inner();
        self.heard(&request);
        let mut world = self.world();
        let from = usize::try_from(request.from).expect("small");
        let mut events: Vec<_> = world.build_events.iter().skip(from).cloned().collect();
        if world.cut_after > 0 {
            events.truncate(std::mem::take(&mut world.cut_after));
        } else if world.goes_on {
            events.pop();
            let open = futures::stream::iter(events.into_iter().map(Ok));
            return Ok(Response::new(open.chain(futures::stream::pending()).boxed()));
        }
        Ok(stream(events))
    }

    async fn cancel_build(
        &self,
        request: Request<v1::CancelBuildRequest>,
    ) -> Result<Response<v1::Build>, Status> {
        self.heard(&request.into_inner());
        Ok(Response::new(build("7", v1::BuildState::Running)))
    }

    async fn read_build_log(
        &self,
        request: Request<v1::PackageRequest>,
    ) -> Result<Response<Self::ReadBuildLogStream>, Status> {
        let request = request.into_inner();
        self.heard(&request);
        if request.package != "zlib" {
            return Err(not_found("package", &request.package));
        }
        let header = v1::BuildLogHeader {
            package: request.package,
            started: Some(MOMENT),
            seconds: 12.0,
            failure: None,
            steps: vec![v1::StepTime { step: "build".to_owned(), seconds: 12.0 }],
        };
        let parts = vec![
            LogPart::Header(header),
            LogPart::Step("configure".to_owned()),
            LogPart::Data(b"checking for gcc... ".to_vec()),
            LogPart::Step("build".to_owned()),
            LogPart::Data(b"cc -c a.c\n".to_vec()),
        ];
        Ok(stream(parts.into_iter().map(|part| v1::BuildLogPart { part: Some(part) }).collect()))
    }

    async fn list_package_files(
        &self,
        request: Request<v1::PackageRequest>,
    ) -> Result<Response<Self::ListPackageFilesStream>, Status> {
        self.heard(&request.into_inner());
        let file = |output: &str, path: &str, target: &str| v1::PackageFile {
            output: output.to_owned(),
            path: path.to_owned(),
            size: if target.is_empty() { 2048 } else { 0 },
            executable: false,
            sha256: String::new(),
            target: target.to_owned(),
        };
        let part = |files| v1::PackageFiles { files };
        Ok(stream(vec![
            part(vec![file("dev", "usr/include/zlib.h", "")]),
            part(vec![file("run", "usr/lib/libz.so", "libz.so.1")]),
        ]))
    }

    async fn draw_build(
        &self,
        _: Request<v1::DrawBuildRequest>,
    ) -> Result<Response<v1::BuildPicture>, Status> {
        Ok(Response::new(v1::BuildPicture { svg: "<svg/>\n".to_owned() }))
    }

    async fn verify_build(
        &self,
        request: Request<v1::BuildRequest>,
    ) -> Result<Response<Self::VerifyBuildStream>, Status> {
        let targets = request.into_inner().targets;
        let verified = targets.into_iter().map(|package| {
            let difference = v1::FileDifference {
                output: "run".to_owned(),
                path: "usr/bin/date".to_owned(),
                how: "has other contents".to_owned(),
            };
            let differs = package == "clock";
            v1::VerifiedPackage { package, differences: vec![difference; usize::from(differs)] }
        });
        Ok(stream(verified.collect()))
    }

    async fn collect_store(
        &self,
        request: Request<v1::CollectStoreRequest>,
    ) -> Result<Response<v1::CollectStoreResponse>, Status> {
        self.heard(&request.into_inner());
        let done = v1::CollectStoreResponse { results: 2, files: 30, bytes: 5 << 20, kept: 400 };
        Ok(Response::new(done))
    }

    async fn export_build(
        &self,
        request: Request<v1::ExportBuildRequest>,
    ) -> Result<Response<Self::ExportBuildStream>, Status> {
        let image = request.into_inner().image;
        let file = |name: &str, size| {
            Exported::File(v1::ExportedFile { name: name.to_owned(), size, sha256: String::new() })
        };
        let parts = match image.as_str() {
            "cut" => vec![file("disk.img", 4), Exported::Chunk(b"ab".to_vec())],
            "evil" => vec![file("../evil", 2), Exported::Chunk(b"ab".to_vec())],
            _ => vec![
                file("disk.img", 4),
                Exported::Chunk(b"ab".to_vec()),
                Exported::Chunk(b"cd".to_vec()),
                file("empty", 0),
            ],
        };
        Ok(stream(parts.into_iter().map(|part| v1::ExportPart { part: Some(part) }).collect()))
    }

    async fn open_build_shell(
        &self,
        request: Request<Streaming<v1::BuildShellInput>>,
    ) -> Result<Response<Self::OpenBuildShellStream>, Status> {
        let mut typed = request.into_inner();
        let Some(Typed::Open(open)) = typed.message().await?.and_then(|it| it.part) else {
            return Err(Status::invalid_argument("no package"));
        };
        self.heard(&open);
        if open.package != "zlib" {
            return Err(not_found("package", &open.package));
        }
        let (outputs, stream) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move {
            let say = async |part| {
                let output = v1::BuildShellOutput { part: Some(part) };
                // The user may have left.
                let _ = outputs.send(Ok(output)).await;
            };
            say(Printed::Notice("Preparing the sandbox.".to_owned())).await;
            say(Printed::Data(b"$ ".to_vec())).await;
            // It echoes, and ends with the input.
            while let Ok(Some(message)) = typed.message().await {
                let Some(Typed::Data(bytes)) = message.part else { continue };
                let (text, ends) = match bytes.strip_suffix(&[4]) {
                    Some(text) => (text.to_vec(), true),
                    None => (bytes, false),
                };
                say(Printed::Data(text)).await;
                if ends {
                    say(Printed::ExitCode(3)).await;
                    return;
                }
            }
        });
        Ok(Response::new(tokio_stream::wrappers::ReceiverStream::new(stream).boxed()))
    }
}

fn source(file: &str, stored: bool) -> v1::Source {
    v1::Source {
        file: file.to_owned(),
        size: 1_477_423,
        sha256: "0123456789abcdef".repeat(4),
        stored,
        places: vec!["Debian source package zlib 1:1.2.13".to_owned()],
        packages: vec!["zlib".to_owned()],
    }
}

#[tonic::async_trait]
impl SourceService for Stage {
    type FetchSourcesStream = Reply<v1::SourceEvent>;
    type VerifySourcesStream = Reply<v1::SourceEvent>;

    async fn list_sources(
        &self,
        _: Request<v1::ListSourcesRequest>,
    ) -> Result<Response<v1::ListSourcesResponse>, Status> {
        let sources = vec![source("musl.tar.gz", true), source("zlib.tar.gz", false)];
        Ok(Response::new(v1::ListSourcesResponse { sources }))
    }

    async fn fetch_sources(
        &self,
        request: Request<v1::BuildRequest>,
    ) -> Result<Response<Self::FetchSourcesStream>, Status> {
        let there = |file: &str| {
            let (file, from) = (file.to_owned(), "the store".to_owned());
            SourceKind::There(v1::SourceFetched { file, from })
        };
        let missing = SourceKind::Missing(v1::SourceMissing {
            file: "zlib.tar.gz".to_owned(),
            reason: "no place has it: a; b".to_owned(),
        });
        let kinds = match request.into_inner().targets.is_empty() {
            true => vec![there("musl.tar.gz")],
            false => vec![
                SourceKind::Note("zlib.tar.gz: a: no".to_owned()),
                missing,
                there("musl.tar.gz"),
            ],
        };
        Ok(stream(kinds.into_iter().map(|kind| v1::SourceEvent { kind: Some(kind) }).collect()))
    }

    async fn add_source(
        &self,
        request: Request<Streaming<v1::AddSourceRequest>>,
    ) -> Result<Response<v1::AddSourceResponse>, Status> {
        let mut parts = request.into_inner();
        let (mut name, mut bytes) = (String::new(), 0);
        while let Some(part) = parts.message().await? {
            match part.part {
                Some(Added::Header(header)) => {
                    name.clone_from(&header.name);
                    self.heard(&header);
                }
                Some(Added::Chunk(chunk)) => bytes += chunk.len(),
                None => {}
            }
        }
        if bytes != 300_000 {
            return Err(refusal(Code::InvalidArgument, "WRONG_HASH", "the file has other bytes"));
        }
        Ok(Response::new(v1::AddSourceResponse {
            source: Some(source(&name, true)),
            changed: true,
        }))
    }

    async fn verify_sources(
        &self,
        request: Request<v1::VerifySourcesRequest>,
    ) -> Result<Response<Self::VerifySourcesStream>, Status> {
        let file = "musl.tar.gz".to_owned();
        let kind = match request.into_inner().set.as_str() {
            "bad" => {
                SourceKind::Damaged(v1::SourceMissing { file, reason: "other bytes".to_owned() })
            }
            _ => SourceKind::There(v1::SourceFetched { file, from: "the store".to_owned() }),
        };
        Ok(stream(vec![v1::SourceEvent { kind: Some(kind) }]))
    }
}

#[tonic::async_trait]
impl RecipeService for Stage {
    async fn list_recipes(
        &self,
        request: Request<v1::ListRecipesRequest>,
    ) -> Result<Response<v1::ListRecipesResponse>, Status> {
        self.heard(&request.into_inner());
        let recipe = |name: &str, kind: v1::RecipeKind, mistakes| v1::RecipeOutline {
            name: name.to_owned(),
            kind: kind.into(),
            version: "1.2.13".to_owned(),
            licence: "Zlib".to_owned(),
            summary: "The compression library behind gzip, PNG and SSH, and much else".to_owned(),
            mistakes,
        };
        let toolchain = v1::Toolchain {
            name: "host".to_owned(),
            summary: "The compiler of the machine that builds".to_owned(),
            default: true,
            of_host: true,
        };
        let set = v1::RecipeSet {
            name: "12".to_owned(),
            summary: "Upstream sources as Debian 12 carries them".to_owned(),
            path: "/usr/share/xlfs/recipes/12".to_owned(),
            default: true,
            toolchains: vec![toolchain],
            recipes: vec![
                recipe("zlib", v1::RecipeKind::Package, 0),
                recipe("dom0", v1::RecipeKind::Image, 2),
            ],
            problem: String::new(),
        };
        Ok(Response::new(v1::ListRecipesResponse { sets: vec![set] }))
    }

    async fn get_recipe(
        &self,
        request: Request<v1::GetRecipeRequest>,
    ) -> Result<Response<v1::Recipe>, Status> {
        let name = request.into_inner().name;
        if name != "zlib" {
            return Err(not_found("recipe", &name));
        }
        let outline =
            v1::RecipeOutline { name, version: "1.2.13".to_owned(), ..Default::default() };
        Ok(Response::new(v1::Recipe {
            outline: Some(outline),
            text: "name = \"zlib\"\n# \x1b[2J\n".to_owned(),
            why: "OpenSSH compresses with it.".to_owned(),
            needed_by: vec!["openssh".to_owned()],
            ..v1::Recipe::default()
        }))
    }

    async fn check_recipes(
        &self,
        request: Request<v1::CheckRecipesRequest>,
    ) -> Result<Response<v1::CheckRecipesResponse>, Status> {
        let set = request.into_inner().set;
        let mistake = |path: &str, line, text: &str| v1::RecipeMistake {
            name: "zlib".to_owned(),
            path: path.to_owned(),
            line,
            column: line,
            text: text.to_owned(),
        };
        let mistakes = match set.as_str() {
            "good" => Vec::new(),
            _ => vec![mistake("12/zlib.toml", 3, "unknown key"), mistake("", 0, "odd")],
        };
        Ok(Response::new(v1::CheckRecipesResponse { set, packages: 20, images: 2, mistakes }))
    }

    async fn new_recipe(
        &self,
        request: Request<v1::NewRecipeRequest>,
    ) -> Result<Response<v1::NewRecipeResponse>, Status> {
        let request = request.into_inner();
        self.heard(&request);
        let path = format!("/etc/xlfs/recipes/12/{}.toml", request.name);
        Ok(Response::new(v1::NewRecipeResponse { path, text: "name = \"x\"\n".to_owned() }))
    }
}
