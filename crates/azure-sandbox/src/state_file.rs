//! Versioned JSON files in the data directory, for state that survives a restart. Azure's state is written before the
//! response to the request that changed it.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files;

/// The version of the format.
const VERSION: u32 = 1;

/// A state file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file is not a state file.
    #[error("{} is not a state file of the sandbox; delete it to start with a fresh sandbox", path.display())]
    Form {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// The file was written by another version of this program.
    #[error("{} was written by another version; delete it to start with a fresh sandbox", path.display())]
    Version { path: PathBuf },
}

/// A state file with content of the type `T`.
pub(crate) struct StateFile<T> {
    path: PathBuf,
    content: PhantomData<fn() -> T>,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

impl<T: Default + DeserializeOwned> StateFile<T> {
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        Self { path: directory.join(name), content: PhantomData }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The stored content; the default if the file does not exist.
    pub(crate) fn read(&self) -> Result<T, Error> {
        let path = || self.path.clone();
        let text = files::read(&self.path).map_err(|source| Error::Read { path: path(), source })?;
        let Some(text) = text else { return Ok(T::default()) };
        let stored: Versioned<T> =
            serde_json::from_slice(&text).map_err(|source| Error::Form { path: path(), source })?;
        if stored.version == VERSION { Ok(stored.content) } else { Err(Error::Version { path: path() }) }
    }

    /// Replaces the file. `content` has the fields of `T`.
    pub(crate) fn write(&self, content: &impl Serialize) -> io::Result<()> {
        files::replace(&self.path, &serde_json::to_vec(&Versioned { version: VERSION, content })?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Content {
        subscriptions: Vec<String>,
    }

    #[test]
    fn written_state_is_read_and_other_files_are_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::<Content>::new(directory.path(), "state.json");
        assert_eq!(file.read().unwrap(), Content::default());
        let content = Content { subscriptions: vec!["s".to_owned()] };
        file.write(&content).unwrap();
        assert_eq!(file.read().unwrap(), content);
        let mode = fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");

        for (text, is_version_error) in [("{", false), (r#"{"version": 99, "subscriptions": []}"#, true)] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(matches!(file.read(), Err(Error::Version { .. })), is_version_error, "{text}");
            assert!(file.read().is_err(), "{text}");
        }
    }
}
