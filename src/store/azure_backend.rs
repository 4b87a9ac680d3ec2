//! The backend of the servers to which a database belongs: real Azure or the sandbox.

use std::fmt;

/// The backend that stores the clusters. A server with the sandbox must never treat real clusters as deleted, and a server for
/// real Azure must never act on objects of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AzureBackend {
    /// Real Azure.
    Azure,
    /// The sandbox.
    Sandbox,
}

impl AzureBackend {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Sandbox => "sandbox",
        }
    }
}

impl fmt::Display for AzureBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
