//! Links xlfsctl at a fixed address.
//!
//! It is started for each command of an operator and lives for an instant. As
//! a position-independent static program it applies 9,000 relocations before it
//! does anything, which writes to a quarter of all pages that it ever touches.
//! Stack, heap and mappings are at random addresses all the same. The daemon,
//! which lives long and listens to guests, stays position-independent.

fn main() {
    for flag in ["-no-pie", "-static"] {
        println!("cargo:rustc-link-arg-bins={flag}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
