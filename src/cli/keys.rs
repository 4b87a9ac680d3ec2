//! `key generate`, `key rotate`.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Error, print};
use crate::config::{DataOnly, SettingFlags};
use crate::vault::KeyRing;

/// What can be done with encryption keys.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Print a new key as a line for the key file.
    Generate(Generate),
    /// Seal every stored secret with the active key, so that older keys can be removed from the file.
    ///
    /// Refused while a running server does not know the active key.
    Rotate(SettingFlags<DataOnly>),
}

#[derive(Args)]
pub(super) struct Generate {
    /// Put the key into this file instead, as the first and so the active one; the file is made if it is missing
    #[arg(long, value_name = "FILE")]
    append: Option<PathBuf>,
}

pub(super) fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Generate(Generate { append: None }) => print(KeyRing::generate().expose_secret()),
        Command::Generate(Generate { append: Some(path) }) => {
            let line = KeyRing::generate();
            put_first(&path, &line).map_err(|source| Error::KeyFile { path, source })?;
            let id = line.expose_secret().split(':').next().unwrap_or_default();
            print(&format!("{id} is the active key now."))
        }
        Command::Rotate(_) => Err(crate::app::Error::NotBuilt("rotation").into()),
    }
}

/// Puts `line` before the content of a key file. Nobody ever sees half a file: a new one takes the old one's place.
fn put_first(path: &Path, line: &SecretString) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // A link stays a link; what it points at is replaced.
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error.into()),
    };
    let old = match fs::read_to_string(&path) {
        Ok(text) => {
            // A file that nothing can read would not become better.
            KeyRing::parse(&text)?;
            text
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let mut name = path.clone().into_os_string();
    name.push(".new");
    let new = PathBuf::from(name);
    let written =
        write_private(&new, &[line.expose_secret(), "\n", &old]).and_then(|()| fs::rename(&new, &path));
    if written.is_err() {
        // It holds keys; the first error is the one to report.
        let _ = fs::remove_file(&new);
    }
    Ok(written?)
}

fn write_private(path: &Path, parts: &[&str]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for part in parts {
        file.write_all(part.as_bytes())?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_new_key_comes_first_and_the_old_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("keys"), folder.path().join("link"));
        symlink(&file, &link).unwrap();
        let lines = [KeyRing::generate(), KeyRing::generate()];
        put_first(&file, &lines[0]).unwrap();
        put_first(&link, &lines[1]).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text, format!("{}\n{}\n", lines[1].expose_secret(), lines[0].expose_secret()));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left behind");
    }

    #[test]
    fn a_file_that_is_no_key_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        fs::write(&file, "not a key").unwrap();
        assert!(put_first(&file, &KeyRing::generate()).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "not a key");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
