//! The cache of plans, filled by real workers.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use xlfs_xen::kernel::cache::{CachedKernel, Error, PlanCache};
use xlfs_xen::kernel::{Compression, Digest, Limits, worker};

use crate::kernel_images::pack::bzimage;
use crate::kernel_images::{kernel, kernel_with, linux_notes, text};
use crate::lies::{child_named, scratch};
use crate::work::{DEADLINE, block_on, file};

/// A scratch directory with a cache, an image, and a worker that counts.
struct Bench {
    scratch: tempfile::TempDir,
    image: PathBuf,
    exe: PathBuf,
}

impl Bench {
    fn new(image: &[u8]) -> Self {
        let scratch = scratch();
        let path = scratch.path().join("image");
        fs::write(&path, image).unwrap();
        let exe = child_named(&scratch, "counted");
        Self { scratch, image: path, exe }
    }

    fn dir(&self) -> PathBuf {
        self.scratch.path().join("var/cache")
    }

    fn open(&self, limits: Limits) -> PlanCache {
        PlanCache::open(&self.dir(), &self.exe, limits, DEADLINE).unwrap()
    }

    fn kernel(&self) -> Result<CachedKernel, Error> {
        block_on(self.open(Limits::default()).kernel(&self.image))
    }

    /// How many workers have run.
    fn parses(&self) -> u64 {
        fs::metadata(self.scratch.path().join("count")).map_or(0, |m| m.len())
    }

    fn entry(&self) -> PathBuf {
        let image = fs::File::open(&self.image).unwrap();
        self.dir().join(Digest::of(&image).unwrap().as_str())
    }

    /// Everything in the cache's directory.
    fn names(&self) -> Vec<String> {
        let items = fs::read_dir(self.dir()).unwrap();
        items.map(|item| item.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn content(kernel: &CachedKernel) -> Vec<u8> {
    let mut bytes = vec![0; kernel.plan.payload_size as usize];
    kernel.payload.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(kernel.payload.metadata().unwrap().len(), kernel.plan.payload_size);
    assert!(kernel.payload.write_at(b"x", 0).is_err(), "the payload must be read-only");
    bytes
}

pub(crate) fn a_kernel_is_parsed_once() {
    let elf = kernel().bytes();
    for (image, files) in [
        (bzimage(Compression::Xz, &elf), vec!["payload", "plan.json"]),
        (elf.clone(), vec!["plan.json"]),
    ] {
        let bench = Bench::new(&image);
        let first = bench.kernel().unwrap();
        let second = bench.kernel().unwrap();
        assert_eq!(bench.parses(), 1);
        assert_eq!((&first.plan, &first.digest), (&second.plan, &second.digest));
        for kernel in [&first, &second] {
            assert!(content(kernel) == elf);
        }
        let entry = fs::read_dir(bench.entry()).unwrap();
        let mut found: Vec<_> =
            entry.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        assert_eq!(found, files);
        assert_eq!(bench.names(), [first.digest.as_str()]);
    }
}

pub(crate) fn many_at_once_parse_once() {
    let bench = Bench::new(&bzimage(Compression::Gzip, &kernel().bytes()));
    let cache = Arc::new(bench.open(Limits::default()));
    block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (cache, image) = (Arc::clone(&cache), bench.image.clone());
            tasks.spawn(async move { cache.kernel(&image).await.unwrap().plan });
        }
        let plans = tasks.join_all().await;
        assert!(plans.windows(2).all(|pair| pair[0] == pair[1]) && plans.len() == 8);
    });
    assert_eq!(bench.parses(), 1);
}

pub(crate) fn a_corrupt_entry_is_made_anew() {
    type Harm = (&'static str, fn(&Path));
    let harms: &[Harm] = &[
        ("plan cut", |entry| {
            let plan = entry.join("plan.json");
            let bytes = fs::read(&plan).unwrap();
            fs::write(&plan, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("plan changed", |entry| {
            let plan = entry.join("plan.json");
            let text = fs::read_to_string(&plan).unwrap();
            let changed = text.replace(r#""mod_start_pfn":true"#, r#""mod_start_pfn":false"#);
            assert_ne!(text, changed);
            fs::write(&plan, changed).unwrap();
        }),
        ("plan gone", |entry| fs::remove_file(entry.join("plan.json")).unwrap()),
        ("payload gone", |entry| fs::remove_file(entry.join("payload")).unwrap()),
        ("payload cut", |entry| {
            let payload = fs::OpenOptions::new().write(true).open(entry.join("payload")).unwrap();
            payload.set_len(100).unwrap();
        }),
        ("a file in its place", |entry| {
            fs::remove_dir_all(entry).unwrap();
            fs::write(entry, b"").unwrap();
        }),
    ];
    let elf = kernel().bytes();
    for (what, harm) in harms {
        let bench = Bench::new(&bzimage(Compression::Zstd, &elf));
        let good = bench.kernel().unwrap();
        harm(&bench.entry());
        let again = bench.kernel().unwrap();
        assert_eq!(again.plan, good.plan, "{what}");
        assert!(content(&again) == elf, "{what}");
        assert_eq!(bench.parses(), 2, "{what}");
        assert!(bench.kernel().is_ok() && bench.parses() == 2, "{what}: it is well again");
    }
}

pub(crate) fn an_entry_under_a_wrong_name_is_not_used() {
    let bench = Bench::new(&kernel().bytes());
    bench.kernel().unwrap();
    // An image of the same size, which the plan would fit.
    let mut notes = linux_notes();
    notes[1] = text(7, "9.9");
    let other = kernel_with(notes).bytes();
    fs::write(bench.scratch.path().join("other"), &other).unwrap();
    let name = Digest::of_bytes(&other);
    fs::rename(bench.entry(), bench.dir().join(name.as_str())).unwrap();
    let cache = bench.open(Limits::default());
    let kernel = block_on(cache.kernel(&bench.scratch.path().join("other"))).unwrap();
    assert_eq!((kernel.digest, &*kernel.plan.guest_version), (name, "9.9"));
    assert_eq!(bench.parses(), 2);
}

pub(crate) fn other_limits_mean_another_parse() {
    let bench = Bench::new(&kernel().bytes());
    bench.kernel().unwrap();
    let wide = Limits { notes: 5000, ..Limits::default() };
    block_on(bench.open(wide).kernel(&bench.image)).unwrap();
    assert_eq!(bench.parses(), 2);
    let tight = Limits { memory_bytes: 4096, ..Limits::default() };
    let error = block_on(bench.open(tight).kernel(&bench.image)).unwrap_err();
    assert!(matches!(error, Error::Worker { .. }), "{error:?}");
    let tiny = Limits { image_bytes: 4096, ..Limits::default() };
    let error = block_on(bench.open(tiny).kernel(&bench.image)).unwrap_err();
    assert!(matches!(error, Error::ImageTooLarge { limit: 4096, .. }), "{error:?}");
    assert_eq!(bench.parses(), 3, "an image that is too large is not even looked at");
}

pub(crate) fn a_refused_image_leaves_nothing() {
    let bench = Bench::new(b"no kernel");
    for parses in 1..3 {
        let error = bench.kernel().unwrap_err();
        let Error::Worker { source: worker::Error::Refused { .. }, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!((bench.parses(), bench.names().len()), (parses, 0));
    }
}

pub(crate) fn forgotten_kernels_stay_readable() {
    let elf = kernel().bytes();
    let bench = Bench::new(&bzimage(Compression::Lz4, &elf));
    let cache = bench.open(Limits::default());
    block_on(async {
        let kernel = cache.kernel(&bench.image).await.unwrap();
        assert!(cache.forget(&kernel.digest).await.unwrap());
        assert!(!cache.forget(&kernel.digest).await.unwrap());
        assert!(bench.names().is_empty());
        assert!(content(&kernel) == elf);
        cache.kernel(&bench.image).await.unwrap();
    });
    assert_eq!(bench.parses(), 2);
}

pub(crate) fn a_cancelled_parse_leaves_nothing() {
    let bench = Bench::new(&kernel().bytes());
    let exe = child_named(&bench.scratch, "silent");
    let cache = PlanCache::open(&bench.dir(), &exe, Limits::default(), DEADLINE).unwrap();
    let cache = Arc::new(cache);
    block_on(async {
        let (task_cache, image) = (Arc::clone(&cache), bench.image.clone());
        let task = tokio::spawn(async move { task_cache.kernel(&image).await.map(drop) });
        let begun = Instant::now();
        while bench.names().is_empty() {
            assert!(begun.elapsed() < DEADLINE, "the parse never began");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        while !bench.names().is_empty() {
            assert!(begun.elapsed() < DEADLINE, "left: {:?}", bench.names());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // And the digest is not locked for ever.
        let digest = Digest::of_bytes(&fs::read(&bench.image).unwrap());
        assert!(!cache.forget(&digest).await.unwrap());
    });
}

pub(crate) fn leftovers_are_swept() {
    let bench = Bench::new(&kernel().bytes());
    let keep = "a".repeat(64);
    for name in [".new-x-1", ".old-x", &keep] {
        fs::create_dir_all(bench.dir().join(name)).unwrap();
        fs::write(bench.dir().join(name).join("payload"), b"x").unwrap();
    }
    drop(bench.open(Limits::default()));
    assert_eq!(bench.names(), [keep]);
}

pub(crate) fn a_known_digest_is_believed() {
    let bench = Bench::new(&kernel().bytes());
    let cache = bench.open(Limits::default());
    let digest: Digest = "c".repeat(64).parse().unwrap();
    let image = || file(&kernel().bytes());
    block_on(async {
        for _ in 0..2 {
            let kernel = cache.kernel_of(image(), digest.clone()).await.unwrap();
            assert_eq!(kernel.digest, digest);
        }
    });
    assert_eq!(bench.parses(), 1);
}
