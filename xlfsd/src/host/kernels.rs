//! Kernels and ramdisks of guests: out of the image store, the kernels by way
//! of the unprivileged process that parses them, and the cache of its plans.

use std::fs::File;
use std::path::Path;

use async_trait::async_trait;
use xlfs_xen::kernel::cache::{self, CachedKernel, PlanCache};
use xlfs_xen::kernel::{Error as Refusal, Format, KernelPlan, Limits, worker};

use super::{Kernels, PreparedKernel};
use crate::image::{Digest, ImageStore, KernelInspector};
use crate::problem::Problem;

/// The program that the worker is: this very one, however it was named.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// What a kernel must be.
const KERNEL_HINT: &str = "Import a Linux kernel with CONFIG_XEN_PV, as vmlinux or bzImage.";

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

    async fn kernel(&self, digest: &Digest, image: File) -> Result<CachedKernel, Problem> {
        self.cache.kernel_of(image, key(digest)?).await.map_err(|error| explain(&error))
    }
}

fn key(digest: &Digest) -> Result<xlfs_xen::kernel::Digest, Problem> {
    let text = digest.to_string();
    text.parse().map_err(|error| Problem::internal("a digest is none").cause(&error))
}

fn explain(error: &cache::Error) -> Problem {
    match error {
        cache::Error::Worker {
            source: worker::Error::Refused { source: source @ Refusal::Store { .. } },
            ..
        } => Problem::resource_exhausted("DISK_FULL", "the kernel cannot be unpacked")
            .cause(source)
            .hint("Make room on the disk that holds xlfsd's state folder."),
        cache::Error::Worker { source: worker::Error::Refused { source }, .. } => {
            Problem::failed_precondition("KERNEL_REFUSED", "the kernel image cannot be used")
                .cause(source)
                .hint(KERNEL_HINT)
        }
        cache::Error::Worker { .. } => {
            Problem::failed_precondition("KERNEL_REFUSED", "the kernel image cannot be parsed")
                .cause(error)
                .hint("It may be malformed, or larger than the limits of the parser.")
        }
        _ => Problem::internal("the kernel cannot be prepared")
            .cause(error)
            .hint("Look at the free space of the state folder."),
    }
}

/// What a person wants to know of a kernel, in one line. Its plan is kept for
/// the first guest that is started with it.
fn summary(plan: &KernelPlan) -> String {
    let format = match (plan.format, plan.compression) {
        (Format::BzImage, Some(compression)) => format!("bzImage, {compression}"),
        (Format::BzImage, None) => "bzImage".into(),
        (Format::Elf, Some(compression)) => format!("elf, {compression}"),
        (Format::Elf, None) => "elf".into(),
    };
    let mib = plan.memory_needed().div_ceil(1 << 20);
    let os = [plan.guest_os.as_str(), plan.guest_version.as_str()].join(" ");
    format!("{format}; {}; needs {mib} MiB of memory for itself", os.trim())
}

#[async_trait]
impl KernelInspector for WorkerKernels {
    async fn inspect(&self, digest: &Digest, kernel: File) -> Result<String, Problem> {
        match self.cache.kernel_of(kernel, key(digest)?).await {
            Ok(kernel) => Ok(summary(&kernel.plan)),
            Err(cache::Error::Worker { source: worker::Error::Refused { source }, .. })
                if !matches!(source, Refusal::Store { .. }) =>
            {
                let message = "the file is no kernel that a guest can be started with";
                Err(Problem::invalid("KERNEL_REFUSED", message, Vec::new())
                    .cause(&source)
                    .hint(KERNEL_HINT))
            }
            Err(error) => Err(explain(&error)),
        }
    }

    async fn forget(&self, digest: &Digest) -> Result<(), Problem> {
        let removed = self.cache.forget(&key(digest)?).await;
        removed.map(drop).map_err(|error| {
            Problem::internal("a kernel's plan stays in the cache")
                .cause(&error)
                .hint("It takes space and does no harm: remove its folder by hand.")
        })
    }
}

#[async_trait]
impl Kernels for WorkerKernels {
    async fn prepare(&self, digest: &Digest) -> Result<PreparedKernel, Problem> {
        let kernel = self.kernel(digest, self.file(digest)?).await?;
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
