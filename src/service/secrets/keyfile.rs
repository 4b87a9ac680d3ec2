//! The key file on disk. `vault` parses its lines.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::Error;
use crate::vault::KeyRing;

/// Reads the file; warns if other users of this machine may read or change it.
pub(super) fn read(path: &Path) -> Result<KeyRing, Error> {
    let to_error = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => Error::NoFile { path: path.to_owned() },
        _ => Error::File { path: path.to_owned(), source },
    };
    let text = Zeroizing::new(fs::read_to_string(path).map_err(to_error)?);
    let mode = fs::metadata(path).map_err(to_error)?.permissions().mode();
    // The group may read the file, because Kubernetes mounts secrets with the group of the pod.
    if mode & 0o027 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{:o}", mode & 0o777),
            "others on this machine may read or change the key file; chmod 600 it"
        );
    }
    KeyRing::parse(&text).map_err(|source| Error::Keys { path: path.to_owned(), source })
}

/// Creates the file with one new key. Fails if the file was created concurrently, because secrets may be encrypted with its
/// key.
pub(super) fn create(path: &Path) -> Result<KeyRing, Error> {
    write_new(path, KeyRing::generate().expose_secret())
        .map_err(|source| Error::File { path: path.to_owned(), source })?;
    read(path)
}

/// Inserts a new key before those in the file, so that the new key is active; creates the file if there is none. Returns the ID
/// of the new key. The old file is replaced atomically.
///
/// # Errors
/// [`Error::File`]; [`Error::Keys`] if the existing file is not a key file.
pub fn append_key(path: &Path) -> Result<String, Error> {
    let to_error = |source| Error::File { path: path.to_owned(), source };
    let new_line = KeyRing::generate();
    let old_text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Zeroizing::new(String::new()),
        Err(error) => return Err(to_error(error)),
    };
    let text = Zeroizing::new(format!("{}\n{}", new_line.expose_secret(), *old_text));
    let key_ring = KeyRing::parse(&text).map_err(|source| Error::Keys { path: path.to_owned(), source })?;
    if old_text.is_empty() && !path.exists() {
        write_new(path, new_line.expose_secret()).map_err(to_error)?;
    } else {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = Path::new(&temporary);
        // A file that an interrupted attempt left was never used.
        fs::remove_file(temporary).ok();
        write_new(temporary, text.trim_end()).map_err(to_error)?;
        fs::rename(temporary, path).map_err(to_error)?;
    }
    Ok(key_ring.ids().next().unwrap_or_default().to_owned())
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let result =
        file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    if result.is_err() {
        // Do not leave a partial key file.
        fs::remove_file(path).ok();
    }
    result
}
