//! What came out of builds: files, comparisons, collections.

use std::path::Path;

use serde::Serialize;
use xlfs_proto::v1::{CollectStoreResponse, ExportedFile, PackageFile, VerifiedPackage};

use crate::errors::filled;

/// `build files`.
#[derive(Debug, Serialize)]
pub(crate) struct FilesView {
    pub(crate) package: String,
    pub(crate) files: Vec<FileView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FileView {
    output: String,
    path: String,
    size_bytes: u64,
    executable: bool,
    sha256: Option<String>,
    target: Option<String>,
}

/// `build export`.
#[derive(Debug, Serialize)]
pub(crate) struct ExportedView {
    pub(crate) image: String,
    pub(crate) files: Vec<ExportedFileView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ExportedFileView {
    path: String,
    size_bytes: u64,
    sha256: String,
}

impl ExportedFileView {
    pub(crate) fn new(file: &ExportedFile, path: &Path) -> ExportedFileView {
        let path = path.to_string_lossy().into_owned();
        ExportedFileView { path, size_bytes: file.size, sha256: file.sha256.clone() }
    }
}

/// `build verify`.
#[derive(Debug, Serialize)]
pub(crate) struct VerifiedView {
    pub(crate) packages: Vec<VerifiedPackageView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct VerifiedPackageView {
    name: String,
    equal: bool,
    differences: Vec<DifferenceView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DifferenceView {
    output: String,
    path: String,
    how: String,
}

/// `build gc`.
#[derive(Debug, Serialize)]
pub(crate) struct CollectedView {
    results: u64,
    files: u64,
    freed_bytes: u64,
    kept_files: u64,
    dry_run: bool,
}

impl From<&PackageFile> for FileView {
    fn from(file: &PackageFile) -> FileView {
        FileView {
            output: file.output.clone(),
            path: file.path.clone(),
            size_bytes: file.size,
            executable: file.executable,
            sha256: filled(&file.sha256),
            target: filled(&file.target),
        }
    }
}

impl From<&VerifiedPackage> for VerifiedPackageView {
    fn from(one: &VerifiedPackage) -> VerifiedPackageView {
        let differences = one.differences.iter().map(|it| DifferenceView {
            output: it.output.clone(),
            path: it.path.clone(),
            how: it.how.clone(),
        });
        VerifiedPackageView {
            name: one.package.clone(),
            equal: one.differences.is_empty(),
            differences: differences.collect(),
        }
    }
}

impl CollectedView {
    pub(crate) fn new(done: &CollectStoreResponse, dry_run: bool) -> CollectedView {
        CollectedView {
            results: done.results,
            files: done.files,
            freed_bytes: done.bytes,
            kept_files: done.kept,
            dry_run,
        }
    }
}
