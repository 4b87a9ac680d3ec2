//! The kind of a database.

use std::fmt;

/// The kind of server to which a database belongs. A sandbox must never treat real clusters as deleted, and a real server must
/// never act on objects of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Real Azure.
    Azure,
    /// The sandbox.
    Sandbox,
}

impl Stamp {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Sandbox => "sandbox",
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
