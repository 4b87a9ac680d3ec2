//! What outlives the end of the sandbox: the holdings that requests have changed, in one file. It is written before
//! the request is answered, so that a killed process forgets nothing that it has said.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files;
use super::holdings::Holdings;

const FILE: &str = "sandbox-azure.json";
/// The form of the file.
const VERSION: u32 = 1;

/// A state of an earlier start that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not one of this program.
    #[error("{} does not hold the state of a sandbox; without it, Azure begins anew", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The file is of another version of this program.
    #[error("{} was written by another version; without it, Azure begins anew", path.display())]
    Version {
        /// The file.
        path: PathBuf,
    },
}

/// The file of one sandbox.
pub(crate) struct Keeper {
    path: PathBuf,
}

/// By subscription, in lower case.
#[derive(Serialize, Deserialize)]
struct Kept<H> {
    version: u32,
    subscriptions: BTreeMap<String, H>,
}

impl Keeper {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE) }
    }

    /// What an earlier start has left; nothing at the first.
    pub(crate) fn read(&self) -> Result<BTreeMap<String, Holdings>, Error> {
        let path = || self.path.clone();
        let text = files::read(&self.path).map_err(|source| Error::Read { path: path(), source })?;
        let Some(text) = text else { return Ok(BTreeMap::new()) };
        let kept: Kept<Holdings> =
            serde_json::from_slice(&text).map_err(|source| Error::Form { path: path(), source })?;
        if kept.version != VERSION {
            return Err(Error::Version { path: path() });
        }
        Ok(kept.subscriptions)
    }

    /// Replaces the file.
    pub(crate) fn write<'a>(&self, all: impl Iterator<Item = (&'a String, &'a Holdings)>) -> io::Result<()> {
        let subscriptions = all.map(|(id, holdings)| (id.clone(), holdings)).collect();
        let text = serde_json::to_vec(&Kept { version: VERSION, subscriptions })?;
        files::replace(&self.path, &text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(folder.path());
        assert!(keeper.read().unwrap().is_empty());
        let holdings = Holdings { touched: true, ..Holdings::default() };
        keeper.write([(&"s".to_owned(), &holdings)].into_iter()).unwrap();
        assert!(keeper.read().unwrap()["s"].touched);
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

        for (text, version) in [("{", false), (r#"{"version": 99, "subscriptions": {}}"#, true)] {
            fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(matches!(keeper.read(), Err(Error::Version { .. })), version, "{text}");
            assert!(keeper.read().is_err(), "{text}");
        }
    }
}
