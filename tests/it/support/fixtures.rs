//! Recordings and data in `tests/fixtures`; one that is missing fails the test.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// The path of a file or folder in `tests/fixtures`.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A file of `tests/fixtures` as JSON.
pub(crate) fn json<T: DeserializeOwned>(name: &str) -> T {
    let path = path(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
