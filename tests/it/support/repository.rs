//! The files of the repository.

use std::path::{Path, PathBuf};

/// The path of a file or directory in the repository.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub(crate) fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The files below a directory, sorted.
pub(crate) fn files_below(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path(directory)).unwrap_or_else(|error| panic!("{directory}: {error}"));
    let entries = entries.map(|entry| entry.unwrap().path());
    let files = entries
        .flat_map(|entry| if entry.is_dir() { files_below(entry.to_str().unwrap()) } else { vec![entry] });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

/// The name of a file, relative to the repository.
pub(crate) fn name_of(file: &Path) -> String {
    file.strip_prefix(path("")).unwrap().to_str().unwrap().to_owned()
}
