//! Errors of the service layer: a text for the caller, and a private cause.
//!
//! `api::meta::error` and `api::norman::error` map them to statuses and bodies; the cause is logged there, once.

use std::sync::Arc;
use std::time::Duration;

use aks::plain_text::ForbiddenCharacter;
use aks::role::Role;

use crate::{store, vault};

/// The outcome of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A rejected or failed use case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such object, or the caller may not see it.
    #[error("{id} not found")]
    NotFound {
        /// The ID as the caller wrote it.
        id: String,
    },
    /// A referenced object does not exist or is not visible.
    #[error("{id} not found")]
    ReferenceNotFound {
        /// The ID as the caller wrote it.
        id: String,
    },
    /// The cloud credential of a cluster does not exist or is not visible. The message starts with Rancher's.
    #[error(
        "error accessing cloud credential: not found; use an ID that /v3/cloudcredentials lists \
         (cattle-global-data:cc-…)"
    )]
    NoCredential,
    /// The caller may see the object, but not do this.
    #[error("forbidden: {0}")]
    Forbidden(ForbiddenReason),
    /// The input violates a rule; nothing was changed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The object was modified concurrently.
    #[error("{id} was modified concurrently; read it again and repeat the change")]
    Conflict {
        /// The ID of the object.
        id: String,
    },
    /// The ID is taken.
    #[error("{id} already exists")]
    Exists {
        /// The ID that is taken.
        id: String,
    },
    /// The limit of concurrent event streams is reached.
    #[error("too many event streams are open; close some, or try again in a moment")]
    TooManyEventStreams,
    /// The request to Azure was denied or failed.
    #[error("the request to Azure failed")]
    Azure {
        /// Rancher's text before the error, for example `failed to get networks: `.
        prefix: &'static str,
        /// The error.
        source: Arc<azure::Error>,
    },
    /// A listing failed, but not with an error of Azure.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The time limit of this server expired.
    #[error("no response within {} s", limit.as_secs())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// A stored object cannot be read back.
    #[error("the stored object {id} is corrupt")]
    Corrupt {
        /// The ID of the object.
        id: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A database error.
    #[error("database error")]
    Store(#[from] store::Error),
    /// A secret cannot be encrypted or decrypted.
    #[error("the stored secret cannot be used")]
    Vault(#[from] vault::Error),
}

impl Error {
    /// The same error for an object that the input references.
    pub(super) fn into_reference_error(self) -> Self {
        match self {
            Self::NotFound { id } => Self::ReferenceNotFound { id },
            error => error,
        }
    }

    /// Whether the disk of the database is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Store(source) if source.is_full())
    }

    /// Whether the database is unavailable, which is transient.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(source) if source.is_unavailable())
    }
}

/// The reason why an action is forbidden.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenReason {
    /// The caller's token expired or was revoked during the request.
    #[error("the token of this request has expired or was revoked; log in again")]
    TokenEnded,
    /// The caller was disabled or removed during the request.
    #[error("your user was disabled or removed; ask an administrator")]
    UserDisabled,
    /// Only administrators may do this.
    #[error("{0}")]
    AdministratorsOnly(AdministratorTask),
    /// Only owners of the cluster may change it.
    #[error("only owners may change a cluster; your role in {cluster_id} is {}", role.name())]
    ChangeCluster {
        /// The cluster.
        cluster_id: String,
        /// The caller's role.
        role: Role,
    },
    /// Only owners of the cluster may change its members.
    #[error(
        "only owners of {cluster_id} may change its members{}",
        role.map(|role| format!("; your role is {}", role.name())).unwrap_or_default()
    )]
    ChangeMembers {
        /// The cluster.
        cluster_id: String,
        /// The caller's role.
        role: Option<Role>,
    },
    /// Only owners of the cluster may use its registration tokens.
    #[error("only owners may use registration tokens; your role in {cluster_id} is {}", role.name())]
    RegistrationTokens {
        /// The cluster.
        cluster_id: String,
        /// The caller's role.
        role: Role,
    },
    /// The membership of a cluster's creator is fixed.
    #[error("{user_id} created the cluster and remains its owner")]
    CreatorStaysOwner {
        /// The creator.
        user_id: String,
    },
    /// The setting cannot be changed.
    #[error("the setting {name} cannot be changed")]
    FixedSetting {
        /// The setting.
        name: &'static str,
    },
    /// The setting was fixed by a start option.
    #[error("the setting {name} was fixed when the server was started")]
    SettingFixedAtStart {
        /// The setting.
        name: &'static str,
    },
}

/// A task of administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdministratorTask {
    /// Managing users.
    #[error("only administrators may manage users")]
    Users,
    /// Listing cloud credentials whose deletion is pending.
    #[error("only administrators may list deleted cloud credentials")]
    DeletedCredentials,
    /// Changing settings.
    #[error("only administrators may change settings")]
    Settings,
    /// Reading the audit log.
    #[error("only administrators may read the audit log")]
    AuditLog,
}

impl From<AdministratorTask> for Error {
    fn from(task: AdministratorTask) -> Self {
        Self::Forbidden(ForbiddenReason::AdministratorsOnly(task))
    }
}

/// Errors of listings that do not come from Azure, with Rancher's messages if it has any.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The caller sees no such cluster.
    #[error("invalid cluster id")]
    UnknownCluster,
    /// Azure has no Kubernetes versions in the region.
    #[error("no versions were returned")]
    NoVersions,
    /// A required parameter is empty.
    #[error("{prefix}parameter {parameter} cannot be empty")]
    EmptyParameter {
        /// Rancher's text before the error of the action.
        prefix: &'static str,
        /// The parameter.
        parameter: &'static str,
    },
    /// No region has such a name.
    #[error("invalid region {0:?}: the name of a region has letters and digits only, for example eastus")]
    InvalidRegion(String),
    /// Azure lists no VM sizes for the region.
    #[error("Azure offers no VM sizes in {0}; use a region that aksLocations lists")]
    NoVmSizes(String),
    /// Azure's response lacks a value.
    #[error("{0}")]
    UnusableResponse(&'static str),
}

/// Invalid input, with Norman's code (`docs/contract/norman-api.md#errors`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// Norman's code, for example `InvalidFormat`; errors of this type have status 422.
    pub code: &'static str,
    /// The invalid field, as the caller spells it.
    pub field: Option<String>,
    /// The error and its remedy.
    pub message: String,
}

impl From<ForbiddenCharacter> for Invalid {
    fn from(forbidden: ForbiddenCharacter) -> Self {
        let message = forbidden.to_string();
        Self::field("InvalidCharacters", forbidden.field, message)
    }
}

impl From<ForbiddenCharacter> for Error {
    fn from(forbidden: ForbiddenCharacter) -> Self {
        Invalid::from(forbidden).into()
    }
}

impl Invalid {
    /// A broken rule that belongs to no single field.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, field: None, message: message.into() }
    }

    /// A `name` that is not a DNS label.
    pub(super) fn name() -> Self {
        let message = "a name must have at most 63 lower-case letters, digits and hyphens, and no hyphen at its start or end";
        Self::field("InvalidFormat", "name", message)
    }

    /// A broken rule of one field.
    pub fn field(code: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, field: Some(field.into()), message: message.into() }
    }
}
