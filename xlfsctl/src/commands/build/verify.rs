//! `build verify`: packages built a second time, and compared.

use clap::Args;
use xlfs_proto::v1::{BuildRequest, VerifiedPackage};

use super::InSet;
use crate::commands::Session;
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::text::plain;
use crate::output::view::result::{VerifiedPackageView, VerifiedView};

/// Build packages a second time, and compare the results to the byte.
///
/// A package whose results differ depends on something that its recipe does not name: the time,
/// the machine, the order of files. Of an image, all its packages are built again. It ends
/// with this command, unlike a build.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Packages and images that are built already.
    #[arg(required = true, value_name = "TARGET", add = complete::targets())]
    targets: Vec<String>,
    #[command(flatten)]
    set: InSet,
}

impl Verify {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let tried = || "cannot verify".to_owned();
        let request = BuildRequest {
            set: self.set.set.unwrap_or_default(),
            targets: self.targets,
            toolchain: self.set.toolchain.unwrap_or_default(),
            ..BuildRequest::default()
        };
        let mut service = session.daemon().await?.builds();
        let mut results = service.verify_build(request).await.context(tried)?.into_inner();
        let mut verified = Vec::new();
        while let Some(one) = results.message().await.context(tried)? {
            if output.is_table() {
                output.text(&lines(&one))?;
            }
            verified.push(one);
        }
        if !output.is_table() {
            let packages = verified.iter().map(VerifiedPackageView::from).collect();
            output.document(&VerifiedView { packages })?;
        }
        let equal = verified.iter().all(|one| one.differences.is_empty());
        Ok(if equal { Exit::Ok } else { Exit::Failed })
    }
}

fn lines(one: &VerifiedPackage) -> String {
    let name = plain(&one.package);
    if one.differences.is_empty() {
        return format!("{name}: equal\n");
    }
    let mut out = format!("{name}: {} differences\n", one.differences.len());
    for it in &one.differences {
        out.push_str(&format!(
            "  {}: /{} {}\n",
            plain(&it.output),
            plain(&it.path),
            plain(&it.how)
        ));
    }
    out
}
