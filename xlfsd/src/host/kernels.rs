//! Kernels and ramdisks of guests: out of the image store, the kernels by way
//! of the unprivileged process that parses them, and the cache of its plans.

use std::fs::File;
use std::path::Path;

use async_trait::async_trait;
use xlfs_xen::kernel::cache::{self, PlanCache};
use xlfs_xen::kernel::{Limits, worker};

use super::{Kernels, PreparedKernel};
use crate::image::{Digest, ImageStore};
use crate::problem::Problem;

/// The program that the worker is: this very one, however it was named.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The real one.
#[derive(Debug)]
pub struct WorkerKernels {
    images: ImageStore,
    cache: PlanCache,
}

impl WorkerKernels {
    /// Plans are kept in `dir`.
    pub fn open(images: ImageStore, dir: &Path) -> Result<Self, Problem> {
        let exe = Path::new(THIS_PROGRAM);
        let cache = PlanCache::open(dir, exe, Limits::default(), worker::DEADLINE)
            .map_err(|error| Problem::internal("the kernel cache cannot be used").cause(&error))?;
        Ok(Self { images, cache })
    }

    fn file(&self, digest: &Digest) -> Result<File, Problem> {
        self.images.open(digest)
    }
}

#[async_trait]
impl Kernels for WorkerKernels {
    async fn prepare(&self, digest: &Digest) -> Result<PreparedKernel, Problem> {
        let image = self.file(digest)?;
        let key = digest
            .to_string()
            .parse()
            .map_err(|error| Problem::internal("a digest is none").cause(&error))?;
        let kernel = self.cache.kernel_of(image, key).await.map_err(|error| match &error {
            cache::Error::Worker { source: worker::Error::Refused { source }, .. } => {
                Problem::failed_precondition("KERNEL_REFUSED", "the kernel image cannot be used")
                    .cause(source)
                    .hint("Import a Linux kernel with CONFIG_XEN_PV, as vmlinux or bzImage.")
            }
            cache::Error::Worker { .. } => {
                Problem::failed_precondition("KERNEL_REFUSED", "the kernel image cannot be parsed")
                    .cause(&error)
                    .hint("It may be malformed, or larger than the limits of the parser.")
            }
            _ => Problem::internal("the kernel cannot be prepared")
                .cause(&error)
                .hint("Look at the free space of the state folder."),
        })?;
        Ok(PreparedKernel { plan: kernel.plan, payload: kernel.payload })
    }

    async fn ramdisk(&self, digest: &Digest) -> Result<(File, u64), Problem> {
        let file = self.file(digest)?;
        let len = file
            .metadata()
            .map_err(|error| Problem::internal("the ramdisk cannot be read").cause(&error))?
            .len();
        Ok((file, len))
    }
}
