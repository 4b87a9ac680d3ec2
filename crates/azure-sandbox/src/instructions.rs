//! The instructions that the `azure-sandbox` binary prints at startup.

use std::fmt::Write as _;
use std::path::Path;

use crate::Sandbox;

impl Sandbox {
    /// The address, the host names and an example request; `directory` is [`Options::state_dir`](super::Options::state_dir).
    pub fn instructions(&self, directory: &Path) -> String {
        let address = self.address();
        let file = Self::authority_file(directory);
        let file = std::path::absolute(&file).unwrap_or(file).display().to_string();
        let mut text = format!(
            "the sandbox listens on {address} for these hosts, with TLS:\n  {}\ntrust {file}; for example:\n\n  \
             curl --cacert {} --connect-to ::{address} 'https://management.azure.com/subscriptions/{}?api-version=2022-12-01' -i\n",
            Self::hosts().join("\n  "),
            shell_quote(&file),
            Self::seed().subscription_id,
        );
        if let Some(control) = self.control_address() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\nthe control API: http://{control}/accounts, /faults, /requests");
        }
        text
    }
}

/// A word for a POSIX shell, quoted if necessary.
fn shell_quote(word: &str) -> String {
    if word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
