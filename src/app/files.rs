//! Files that only their owner may read.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::error::Error;

/// Creates a directory and its parents with mode 0700.
pub(super) fn create_directory(directory: &Path) -> Result<(), Error> {
    if directory.as_os_str().is_empty() {
        return Ok(());
    }
    let created = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    created.map_err(|source| Error::Directory { path: directory.to_owned(), source })
}

/// Replaces a file atomically, with mode 0600.
pub(super) fn write_private(path: &Path, content: &str) -> Result<(), Error> {
    write_private_parts(path, &[content.as_bytes()])
}

/// Replaces a file atomically with the concatenation of `parts`, with mode 0600. After a failure, the old file is unchanged.
pub(super) fn write_private_parts(path: &Path, parts: &[&[u8]]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        // Opening an existing file does not change its mode.
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // On a full disk, the incomplete file would occupy space.
        let _ = std::fs::remove_file(&temporary);
        Error::File { path: path.to_owned(), source }
    })
}

/// Deletes a file if it exists.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::File { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// The content of a file; `None` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}
