//! What can go wrong in a use case: what the caller may be told, and the private cause beside it.
//!
//! `api::error` turns these into statuses and bodies, in one table; the cause is logged there, once.

use std::sync::Arc;
use std::time::Duration;

use aks::plain_text::ForbiddenCharacter;

use crate::{store, vault};

/// The outcome of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refused or failed use case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing of that id exists as far as this caller may know.
    #[error("{id} not found")]
    NotFound {
        /// The id as the caller wrote it.
        id: String,
    },
    /// Something that the input names does not exist as far as this caller may know; the text says what.
    #[error("{0}")]
    Missing(String),
    /// The cloud credential that a cluster names is not there, as far as this caller may know. Rancher's words first.
    #[error(
        "error accessing cloud credential: you have none of this id; name one that /v3/cloudcredentials lists, as \
         cattle-global-data:cc-…"
    )]
    NoCredential,
    /// The caller may see the thing but not do this to it.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// The input breaks a rule; nothing was changed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The object changed in between; the caller may read it again and repeat.
    #[error("{id} was changed by somebody else in the meantime; read it again and repeat the change")]
    Conflict {
        /// The id of the object.
        id: String,
    },
    /// There is an object of that id already.
    #[error("{id} exists already")]
    Exists {
        /// The id that is taken.
        id: String,
    },
    /// Too much of a kind is asked for at once; the text says what.
    #[error("{0}")]
    Busy(&'static str),
    /// Azure, or the way to it, refused or failed.
    #[error("the request to Azure failed")]
    Azure {
        /// Rancher's words before the text of the failure, for example `failed to get networks: `.
        prefix: &'static str,
        /// What Azure said, or that it said nothing.
        source: Arc<azure::Error>,
    },
    /// The question cannot be asked, or Azure's answer cannot be used; the text says why.
    #[error("{0}")]
    Rejected(String),
    /// Our own time limit passed before an answer was there.
    #[error("no answer within {} s", limit.as_secs())]
    TimedOut {
        /// The limit that passed.
        limit: Duration,
    },
    /// A stored object cannot be read back.
    #[error("the stored object {id} cannot be used")]
    Corrupt {
        /// The id of the object.
        id: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database failed.
    #[error("the database cannot be used")]
    Store(#[from] store::Error),
    /// A secret cannot be sealed or opened.
    #[error("the stored secret cannot be used")]
    Vault(#[from] vault::Error),
}

impl Error {
    /// Whether the disk of the database is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Store(source) if source.is_full())
    }

    /// Whether the database is away: passes by itself.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(source) if source.is_unavailable())
    }
}

/// Invalid input, with Norman's code (`docs/contract/norman-api.md#errors`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// Norman's code, for example `InvalidFormat`; all of these are status 422.
    pub code: &'static str,
    /// The field at fault, as the caller spells it.
    pub field: Option<String>,
    /// A sentence that says what is wrong and how to mend it, also where Rancher says nothing.
    pub message: String,
}

impl From<ForbiddenCharacter> for Invalid {
    fn from(found: ForbiddenCharacter) -> Self {
        let message = found.to_string();
        Self::field("InvalidCharacters", found.field, message)
    }
}

impl From<ForbiddenCharacter> for Error {
    fn from(found: ForbiddenCharacter) -> Self {
        Invalid::from(found).into()
    }
}

impl Invalid {
    /// A broken rule that belongs to no single field.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, field: None, message: message.into() }
    }

    /// A broken rule of one field.
    pub fn field(code: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, field: Some(field.into()), message: message.into() }
    }
}
