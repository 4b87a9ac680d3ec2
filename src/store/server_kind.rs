//! The kind of server to which a database belongs.

use std::fmt;

/// A kind of server. A sandbox must never treat real clusters as deleted, and a real server must
/// never act on objects of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// Real Azure.
    Azure,
    /// The sandbox.
    Sandbox,
}

impl ServerKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Sandbox => "sandbox",
        }
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
