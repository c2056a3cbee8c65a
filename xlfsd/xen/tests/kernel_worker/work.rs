//! The worker at its work.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use xlfs_xen::kernel::worker::{self, Error};
use xlfs_xen::kernel::{Error as Refusal, KernelPlan, Limits, inspect};

use crate::kernel_images::malformed::bomb;
use crate::kernel_images::pack::{ALL, bzimage};
use crate::kernel_images::{kernel, kernel_with};

/// Generous: another build may have the machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);

pub(crate) fn own_exe() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// A file that holds `bytes`, and is at its end or not: nobody may care.
pub(crate) fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Runs the worker `exe` on `image`; returns its answer and the payload.
pub(crate) fn run(
    exe: &Path,
    image: &[u8],
    limits: &Limits,
) -> (Result<KernelPlan, Error>, Vec<u8>) {
    let mut payload = file(b"");
    let clone = payload.try_clone().unwrap();
    let result = block_on(worker::inspect_in_child(exe, file(image), clone, limits, DEADLINE));
    let mut bytes = Vec::new();
    payload.rewind().unwrap();
    payload.read_to_end(&mut bytes).unwrap();
    (result, bytes)
}

pub(crate) fn every_packing_comes_back() {
    let elf = kernel().bytes();
    let limits = Limits::default();
    for compression in ALL {
        let image = bzimage(compression, &elf);
        let (plan, payload) = run(&own_exe(), &image, &limits);
        let here = inspect(image.as_slice(), &limits, &mut Vec::new());
        assert_eq!(plan.unwrap(), here.unwrap(), "{compression}");
        assert!(payload == elf, "{compression}: another payload");
    }
}

pub(crate) fn bare_elf_writes_nothing() {
    let (plan, payload) = run(&own_exe(), &kernel().bytes(), &Limits::default());
    assert!(plan.unwrap().payload_is_image());
    assert!(payload.is_empty());
}

pub(crate) fn refusals_keep_their_reason() {
    let cases = [
        (Vec::new(), Refusal::Empty),
        (b"#!/bin/sh".to_vec(), Refusal::NotAKernel { magic: "23212f62696e2f7368".into() }),
        (kernel_with(Vec::new()).bytes(), Refusal::NoXenNotes),
    ];
    for (image, reason) in cases {
        let (result, _) = run(&own_exe(), &image, &Limits::default());
        match result {
            Err(Error::Refused { source }) => assert_eq!(source, reason),
            other => panic!("expected {reason:?}, got {other:?}"),
        }
    }
}

pub(crate) fn bombs_stop_at_the_cap() {
    let limits = Limits { payload_bytes: 8 << 20, ..Limits::default() };
    for compression in ALL {
        let (result, payload) = run(&own_exe(), &bomb(compression), &limits);
        let Err(Error::Refused { source }) = result else { panic!("{compression}: {result:?}") };
        assert_eq!(source, Refusal::PayloadTooLarge { limit: 8 << 20 }, "{compression}");
        assert!(payload.len() <= 8 << 20, "{compression}: {} bytes", payload.len());
    }
}

pub(crate) fn files_must_be_files() {
    let limits = Limits::default();
    let null = || File::open("/dev/null").unwrap();
    let exe = own_exe();
    let run = |image, payload| {
        block_on(worker::inspect_in_child(&exe, image, payload, &limits, DEADLINE)).unwrap_err()
    };
    assert!(matches!(run(null(), file(b"")), Error::NotAFile { what: "the image" }));
    assert!(matches!(run(file(b""), null()), Error::NotAFile { what: "the payload file" }));
    assert!(matches!(run(file(b""), file(b"x")), Error::PayloadNotEmpty));
    let nowhere = Path::new("/nowhere/xlfsd");
    let spawn = worker::inspect_in_child(nowhere, file(b""), file(b""), &limits, DEADLINE);
    assert!(matches!(block_on(spawn).unwrap_err(), Error::Spawn { .. }));
}
