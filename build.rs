//! Packs the relocations of the program, which its loader reads at each start: 20 kB instead of 2 MB, all of which would remain in
//! memory. glibc can load such programs since version 2.36.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if is_native() && glibc_version().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether the program is built for machines like this one.
fn is_native() -> bool {
    env::var_os("HOST") == env::var_os("TARGET")
}

/// The version of this machine's glibc; `None` if it has another C library.
fn glibc_version() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    // For example `glibc 2.36`.
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
