//! Source files.

use serde::Serialize;
use xlfs_proto::v1::Source;

/// `source list`.
#[derive(Debug, Serialize)]
pub(crate) struct SourcesView {
    pub(crate) sources: Vec<SourceView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SourceView {
    file: String,
    size_bytes: u64,
    sha256: String,
    stored: bool,
    places: Vec<String>,
    packages: Vec<String>,
}

/// `source add`.
#[derive(Debug, Serialize)]
pub(crate) struct AddedView {
    pub(crate) source: SourceView,
    pub(crate) changed: bool,
    pub(crate) dry_run: bool,
}

/// `source fetch`.
#[derive(Debug, Serialize)]
pub(crate) struct FetchedView {
    there: Vec<ThereView>,
    missing: Vec<WrongView>,
}

/// `source verify`.
#[derive(Debug, Serialize)]
pub(crate) struct CheckedView {
    good: Vec<String>,
    damaged: Vec<WrongView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ThereView {
    file: String,
    from: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct WrongView {
    file: String,
    reason: String,
}

impl From<&Source> for SourceView {
    fn from(source: &Source) -> SourceView {
        SourceView {
            file: source.file.clone(),
            size_bytes: source.size,
            sha256: source.sha256.clone(),
            stored: source.stored,
            places: source.places.clone(),
            packages: source.packages.clone(),
        }
    }
}

fn wrong(list: &[(String, String)]) -> Vec<WrongView> {
    let view = |(file, reason): &(String, String)| WrongView {
        file: file.clone(),
        reason: reason.clone(),
    };
    list.iter().map(view).collect()
}

impl FetchedView {
    pub(crate) fn new(there: &[(String, String)], missing: &[(String, String)]) -> FetchedView {
        let view =
            |(file, from): &(String, String)| ThereView { file: file.clone(), from: from.clone() };
        FetchedView { there: there.iter().map(view).collect(), missing: wrong(missing) }
    }
}

impl CheckedView {
    pub(crate) fn new(good: &[(String, String)], damaged: &[(String, String)]) -> CheckedView {
        let good = good.iter().map(|(file, _)| file.clone()).collect();
        CheckedView { good, damaged: wrong(damaged) }
    }
}
