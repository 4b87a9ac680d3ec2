//! Azure's run command: a command line and files, executed inside a cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Cursor, Read as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use zip::ZipArchive;

use crate::kube::kubectl::Output;

/// The maximum number of files in a context.
const MAX_FILES: usize = 200;
/// The maximum total size of the unpacked files, in bytes.
const MAX_UNPACKED: u64 = 8 << 20;

/// A command that has not run yet, or the output of one that has.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Command {
    /// Not executed yet.
    Pending(RunCommandRequest),
    /// Executed.
    Done(Output),
}

/// The body of a request to run a command.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RunCommandRequest {
    /// The command line.
    pub(crate) command: String,
    /// A zip archive, base64; may be empty.
    pub(crate) context: String,
    /// An Entra token for the Kubernetes API; may be empty.
    pub(crate) cluster_token: String,
}

/// Omits the contents, which include tokens.
impl fmt::Debug for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pending(_) => "Pending",
            Self::Done(_) => "Done",
        })
    }
}

/// A context that cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    #[error("the context is not base64")]
    Encoding(#[from] base64::DecodeError),
    #[error("the context is not a zip archive: {0}")]
    Archive(String),
    #[error("the context has more than {MAX_FILES} files or {MAX_UNPACKED} bytes")]
    TooLarge,
}

impl RunCommandRequest {
    /// The files of the context by relative path.
    pub(crate) fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, ContextError> {
        let mut files = BTreeMap::new();
        if self.context.is_empty() {
            return Ok(files);
        }
        let failed = |error: zip::result::ZipError| ContextError::Archive(error.to_string());
        let bytes = BASE64_STANDARD.decode(self.context.trim())?;
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(failed)?;
        if archive.len() > MAX_FILES {
            return Err(ContextError::TooLarge);
        }
        let mut remaining = MAX_UNPACKED;
        for index in 0..archive.len() {
            let file = archive.by_index(index).map_err(failed)?;
            // Skips directories, and paths that leave the working directory.
            let Some(path) = file.enclosed_name().filter(|_| file.is_file()) else { continue };
            let mut content = Vec::new();
            // The size in the archive's directory may be wrong.
            let read = file.take(remaining + 1).read_to_end(&mut content);
            read.map_err(|error| ContextError::Archive(error.to_string()))?;
            let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
            remaining = remaining.checked_sub(size).ok_or(ContextError::TooLarge)?;
            files.insert(path.to_string_lossy().into_owned(), content);
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::write::SimpleFileOptions;

    use super::*;

    fn request(files: &[(&str, &[u8])]) -> RunCommandRequest {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(content).unwrap();
        }
        let context = BASE64_STANDARD.encode(archive.finish().unwrap().into_inner());
        RunCommandRequest { context, ..RunCommandRequest::default() }
    }

    #[test]
    fn context_is_unpacked_within_its_directory() {
        let files = request(&[("a.yaml", b"a"), ("dir/b.yaml", b"b"), ("../c.yaml", b"c")]).files().unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a.yaml", "dir/b.yaml"]);
        assert_eq!(files["dir/b.yaml"], b"b");
        assert!(RunCommandRequest::default().files().unwrap().is_empty());
    }

    #[test]
    fn oversized_contexts_are_rejected() {
        let zeros = vec![0; 9 << 20];
        assert!(matches!(request(&[("a", &zeros)]).files(), Err(ContextError::TooLarge)));
        let names: Vec<String> = (0..=MAX_FILES).map(|number| number.to_string()).collect();
        let too_many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
        assert!(matches!(request(&too_many).files(), Err(ContextError::TooLarge)));
        for context in ["?", "AAAA"] {
            assert!(
                RunCommandRequest { context: context.to_owned(), ..RunCommandRequest::default() }
                    .files()
                    .is_err()
            );
        }
    }
}
