//! Recordings and data in `tests/fixtures`. A missing file fails the test.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// The path of a file or directory in `tests/fixtures`.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Reads a JSON file in `tests/fixtures`.
pub(crate) fn json<T: DeserializeOwned>(name: &str) -> T {
    let path = path(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
