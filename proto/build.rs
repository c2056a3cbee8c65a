//! Compiles proto/xlfs/v1 with protox, so that no `protoc` is needed.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let files = [
        "build", "common", "console", "domain", "event", "health", "host", "image", "network",
        "recipe", "slot", "source", "task", "template", "volume",
    ];
    let files = files.map(|name| format!("proto/xlfs/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=proto");

    let descriptors = protox::compile(&files, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    write(&out.join("descriptors.bin"), &descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::write(path, bytes)
}
