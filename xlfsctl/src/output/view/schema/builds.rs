//! Samples of builds, sources and recipes: see [`super::samples`].

use std::path::Path;

use serde_json::Value;
use xlfs_proto::v1;
use xlfs_proto::v1::build_event::Kind;

use super::json;
use super::samples::{MOMENT, text};
use crate::output::view::build::{BuildEventView, BuildView, BuildsView, PlanView};
use crate::output::view::recipe::{
    CheckView, NewRecipeView, RecipeSetView, RecipeSetsView, RecipeView,
};
use crate::output::view::result::{
    CollectedView, ExportedFileView, ExportedView, FileView, FilesView, VerifiedPackageView,
    VerifiedView,
};
use crate::output::view::source::{AddedView, CheckedView, FetchedView, SourceView, SourcesView};

/// Each schema with a sample that has everything.
pub(super) fn samples() -> Vec<(&'static str, Vec<Value>)> {
    let wrong = [(text(), text())];
    let source = || SourceView::from(&source());
    let set = || RecipeSetView::from(&recipe_set());
    let export = v1::ExportedFile { name: text(), size: 1, sha256: text() };
    let export = ExportedFileView::new(&export, Path::new("out/x"));
    let collected = v1::CollectStoreResponse { results: 1, files: 1, bytes: 1, kept: 1 };
    let added = AddedView { source: source(), changed: true, dry_run: false };
    let new = NewRecipeView { path: text(), text: text(), written: true };
    let verified = VerifiedView { packages: vec![VerifiedPackageView::from(&verified())] };
    let files = FilesView { package: text(), files: vec![FileView::from(&file())] };
    vec![
        ("plan", vec![json(&PlanView::from(&plan()))]),
        ("build", vec![json(&BuildView::from(&build()))]),
        ("builds", vec![json(&BuildsView { builds: vec![BuildView::from(&build())] })]),
        ("build-event", events().iter().map(|it| json(&BuildEventView::from(it))).collect()),
        ("files", vec![json(&files)]),
        ("exported", vec![json(&ExportedView { image: text(), files: vec![export] })]),
        ("verified", vec![json(&verified)]),
        ("collected", vec![json(&CollectedView::new(&collected, false))]),
        ("sources", vec![json(&SourcesView { sources: vec![source()] })]),
        ("fetched", vec![json(&FetchedView::new(&wrong, &wrong))]),
        ("added", vec![json(&added)]),
        ("checked", vec![json(&CheckedView::new(&wrong, &wrong))]),
        ("recipe-set", vec![json(&set())]),
        ("recipe-sets", vec![json(&RecipeSetsView { sets: vec![set()] })]),
        ("recipe", vec![json(&RecipeView::from(&recipe()))]),
        ("mistakes", vec![json(&CheckView::from(&check()))]),
        ("new-recipe", vec![json(&new)]),
    ]
}

fn plan() -> v1::BuildPlan {
    let failure =
        v1::PackageFailure { step: text(), reason: text(), started: MOMENT, seconds: 1.0 };
    let package = v1::PlannedPackage {
        name: text(),
        version: text(),
        toolchain: text(),
        standing: v1::PackageStanding::Build.into(),
        reasons: vec![text()],
        seconds: Some(1.0),
        failure: Some(failure),
    };
    v1::BuildPlan {
        set: text(),
        targets: vec![text()],
        packages: vec![package],
        estimate_seconds: 1.0,
        guessed: 1,
        missing_inputs: vec![text()],
    }
}

fn counts() -> v1::BuildCounts {
    v1::BuildCounts { packages: 1, built: 1, cached: 1, failed: 1, skipped: 1 }
}

fn build() -> v1::Build {
    let request = v1::BuildRequest {
        set: text(),
        targets: vec![text()],
        toolchain: text(),
        check: true,
        rebuild: vec![text()],
        inputs: [("*".to_owned(), text())].into(),
    };
    v1::Build {
        id: text(),
        request: Some(request),
        import: true,
        state: v1::BuildState::Failed.into(),
        started: MOMENT,
        ended: MOMENT,
        counts: Some(counts()),
        plan: None,
        task_id: text(),
        events: 1,
        problem: text(),
    }
}

/// One of each kind.
fn events() -> Vec<v1::BuildEvent> {
    let failed = v1::PackageFailed {
        package: text(),
        step: text(),
        reason: text(),
        tail: vec![text()],
        cause: v1::FailureCause::Silent.into(),
    };
    let imported = v1::ArtifactImported {
        image: text(),
        file: text(),
        alias: text(),
        digest: text(),
        changed: true,
        problem: text(),
    };
    let finished = v1::BuildFinished {
        state: v1::BuildState::Failed.into(),
        counts: Some(counts()),
        seconds: 1.0,
    };
    let kinds = [
        Kind::Begun(v1::BuildBegun { packages: 1 }),
        Kind::Fetching(v1::SourceFetching { file: text() }),
        Kind::Fetched(v1::SourceFetched { file: text(), from: text() }),
        Kind::Note(text()),
        Kind::Cached(text()),
        Kind::Started(v1::PackageStarted { package: text(), estimate_seconds: Some(1.0) }),
        Kind::Step(v1::PackageStep { package: text(), step: text() }),
        Kind::Built(v1::PackageBuilt { package: text(), seconds: 1.0, changed: true }),
        Kind::Failed(failed),
        Kind::Skipped(v1::PackageSkipped { package: text(), because: text() }),
        Kind::Image(v1::ImageBuilt { image: text(), cached: true, seconds: 1.0 }),
        Kind::Imported(imported),
        Kind::Finished(finished),
    ];
    let event = |kind| v1::BuildEvent { number: 1, time: MOMENT, kind: Some(kind) };
    kinds.into_iter().map(event).collect()
}

fn file() -> v1::PackageFile {
    v1::PackageFile {
        output: text(),
        path: text(),
        size: 1,
        executable: true,
        sha256: text(),
        target: text(),
    }
}

fn verified() -> v1::VerifiedPackage {
    let difference = v1::FileDifference { output: text(), path: text(), how: text() };
    v1::VerifiedPackage { package: text(), differences: vec![difference] }
}

fn source() -> v1::Source {
    v1::Source {
        file: text(),
        size: 1,
        sha256: text(),
        stored: true,
        places: vec![text()],
        packages: vec![text()],
    }
}

fn outline() -> v1::RecipeOutline {
    v1::RecipeOutline {
        name: text(),
        kind: v1::RecipeKind::Package.into(),
        version: text(),
        licence: text(),
        summary: text(),
        mistakes: 1,
    }
}

fn recipe_set() -> v1::RecipeSet {
    let toolchain = v1::Toolchain { name: text(), summary: text(), default: true, of_host: true };
    v1::RecipeSet {
        name: text(),
        summary: text(),
        path: text(),
        default: true,
        toolchains: vec![toolchain],
        recipes: vec![outline()],
        problem: text(),
    }
}

fn mistake() -> v1::RecipeMistake {
    v1::RecipeMistake { name: text(), path: text(), line: 1, column: 1, text: text() }
}

fn recipe() -> v1::Recipe {
    v1::Recipe {
        outline: Some(outline()),
        path: text(),
        text: text(),
        why: text(),
        build_depends: vec![text()],
        run_depends: vec![text()],
        sources: vec![text()],
        outputs: vec![text()],
        needed_by: vec![text()],
        mistakes: vec![mistake()],
    }
}

fn check() -> v1::CheckRecipesResponse {
    v1::CheckRecipesResponse { set: text(), packages: 1, images: 1, mistakes: vec![mistake()] }
}
