//! Writes a malformed kernel image for every fault the parser knows into a
//! directory, for tests that hand them to a running daemon:
//!
//! ```text
//! cargo run -p xlfs-xen --example malformed_kernels -- OUTDIR
//! ```
//!
//! `OUTDIR/index.tsv` names each file and the error that must come of it (the
//! tag in its JSON form). The images are about 4 MB together.

#[path = "../tests/kernel_images/mod.rs"]
mod kernel_images;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(dir), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        eprintln!("usage: malformed_kernels OUTDIR");
        return ExitCode::from(2);
    };
    match write_all(&dir) {
        Ok(count) => {
            println!("{count} images in {}", dir.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("malformed_kernels: {}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}

fn write_all(dir: &std::path::Path) -> io::Result<usize> {
    fs::create_dir_all(dir)?;
    let (mut index, mut count) = (String::new(), 0);
    for case in kernel_images::malformed::all() {
        fs::write(dir.join(&case.name), &case.image)?;
        writeln!(index, "{}\t{}", case.name, case.error).map_err(io::Error::other)?;
        count += 1;
    }
    fs::write(dir.join("index.tsv"), index)?;
    Ok(count)
}
