//! Stored cloud credentials: creates, reads and updates them. [`deletion`] deletes them, and [`access`] resolves them for
//! requests to Azure.
//!
//! Only the owner and administrators see a credential; for all other callers it does not exist. Its secret is never returned,
//! except in an [`AzureAccess`].

mod access;
mod change;
mod deletion;
mod id;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use azure::Cloud;
use clock::Clock;

pub use self::access::CredentialSource;
use self::change::check_characters;
pub use self::change::{AzureChange, CredentialChange, Mode};
pub use self::deletion::{ClusterName, Deleted, PendingDeletion, last_use_erasure};

pub(super) use self::id::{bare_id, full_id};
use super::actor::Actor;
use super::audit::{Action, AuditLog};
use super::azure_access::Resolver;
pub use super::azure_access::{AccessError, AzureAccess, InlineCredential};
use super::base::Base;
use super::error::ForbiddenReason;
use super::fresh_id::insert_with_fresh_id;
pub use super::metadata::Change;
use super::secrets::Secrets;
use super::{Caller, Error, Invalid, Result};
use crate::store::{self, CredentialRow, Store};

/// The maximum number of attempts of an update that conflicts with concurrent ones (`docs/contract/norman-api.md#updates`).
pub(super) const MAX_ATTEMPTS: usize = 5;

/// The type of object in the audit log.
pub const OBJECT_TYPE: &str = "cloudCredential";

/// A credential without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// `cattle-global-data:cc-xxxxx`
    pub id: String,
    /// A UUID that is never reused.
    pub uuid: String,
    /// The ID of the owner.
    pub owner: String,
    /// The name; the ID if the user set none.
    pub name: String,
    /// The description.
    pub description: Option<String>,
    /// The user's labels and `cattle.io/creator`.
    pub labels: BTreeMap<String, String>,
    /// The user's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The Entra tenant, if set.
    pub tenant_id: Option<String>,
    /// The Azure subscription.
    pub subscription_id: Option<String>,
    /// The ID of the application.
    pub client_id: Option<String>,
    /// The name of the cloud as the user wrote it.
    pub environment: Option<String>,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

impl From<CredentialRow> for Credential {
    fn from(row: CredentialRow) -> Self {
        let id = full_id(&row.id);
        Self {
            name: if row.name.is_empty() { id.clone() } else { row.name },
            id,
            uuid: row.uuid,
            owner: row.owner,
            description: row.description,
            labels: row.labels,
            annotations: row.annotations,
            tenant_id: row.tenant_id,
            subscription_id: row.subscription_id,
            client_id: row.client_id,
            environment: row.environment,
            created_ms: row.created_ms,
        }
    }
}

/// Stores credentials and resolves them to access to Azure. Clones share everything.
#[derive(Clone)]
pub struct Credentials {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    secrets: Secrets,
    resolver: Resolver,
    audit_log: AuditLog,
    clock: Clock,
    access_cache: access::ResolvedCache,
    /// Incremented by every change of a credential or cluster through this server; invalidates cached entries.
    epoch: AtomicU64,
}

impl Credentials {
    /// The credentials of this database.
    pub fn new(base: &Base) -> Self {
        let Base { store, secrets, azure, audit_log, clock, .. } = base.clone();
        let resolver = Resolver::new(azure, secrets.fingerprinter());
        let (access_cache, epoch) = (access::new_cache(), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { store, secrets, resolver, audit_log, clock, access_cache, epoch }) }
    }

    /// Stores a new credential. Sends nothing to Azure.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it has no Azure configuration.
    pub async fn create(&self, by: &Actor, change: CredentialChange) -> Result<Credential> {
        let result = self.insert(by, change).await;
        self.inner.audit_log.record_failure(by, Action::Create, OBJECT_TYPE, "", result).await
    }

    async fn insert(&self, by: &Actor, change: CredentialChange) -> Result<Credential> {
        if change.azure.as_ref().is_none_or(AzureChange::is_empty) {
            return Err(missing_config());
        }
        let now_ms = self.inner.clock.now_ms();
        let mut row = CredentialRow {
            uuid: uuid::Uuid::new_v4().to_string(),
            owner: by.caller.user_id.clone(),
            created_ms: now_ms,
            updated_ms: now_ms,
            version: 1,
            ..CredentialRow::default()
        };
        change.apply(&mut row, Mode::Replace);
        check_characters(&row, None)?;
        let insertion = insert_with_fresh_id("cc-", |id| {
            let audit = by.audit(Action::Create, OBJECT_TYPE, &full_id(&id), now_ms);
            let secret = change.secret().map(|secret| self.inner.secrets.seal(&id, secret)).transpose();
            let row = CredentialRow { id, ..row.clone() };
            async move {
                let row = CredentialRow { secret: secret?, ..row };
                let inserted = store::credentials::insert(&self.inner.store, &row, &audit).await;
                inserted.map(|()| row).map_err(from_store_error)
            }
        });
        let row = insertion.await?;
        warn_of_closed_cloud(&row);
        Ok(row.into())
    }

    /// Returns the credential `id`.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Credential> {
        Ok(self.row(caller, id).await?.into())
    }

    /// Lists the credentials that the caller may see.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Credential>> {
        let owner = (!caller.admin).then_some(caller.user_id.as_str());
        let rows = store::credentials::list(&self.inner.store, owner).await?;
        Ok(rows.into_iter().map(Credential::from).collect())
    }

    /// Updates a credential. The secret is unchanged if the request has none.
    ///
    /// # Errors
    /// [`Error::Conflict`] if all attempts conflict with concurrent updates; [`Error::Invalid`] if clusters use the credential
    /// and its subscription or cloud would change.
    pub async fn update(
        &self,
        by: &Actor,
        id: &str,
        change: CredentialChange,
        mode: Mode,
    ) -> Result<Credential> {
        let result = self.update_with_retries(by, id, &change, mode).await;
        self.invalidate_resolved();
        self.inner.audit_log.record_failure(by, Action::Update, OBJECT_TYPE, id, result).await
    }

    async fn update_with_retries(
        &self,
        by: &Actor,
        id: &str,
        change: &CredentialChange,
        mode: Mode,
    ) -> Result<Credential> {
        const CONSEQUENCE: &str = "; its subscription and cloud cannot be changed";
        if mode == Mode::Replace && change.azure.as_ref().is_none_or(AzureChange::is_empty) {
            return Err(missing_config());
        }
        let mut sealed = None;
        for _ in 0..MAX_ATTEMPTS {
            let stored = self.row(&by.caller, id).await?;
            let mut row = stored.clone();
            change.apply(&mut row, mode);
            check_characters(&row, Some(&stored))?;
            let changes_target =
                row.subscription_id != stored.subscription_id || cloud(&row) != cloud(&stored);
            if changes_target {
                self.reject_if_used(&row.id, CONSEQUENCE).await?;
            }
            if let Some(secret) = change.secret() {
                if sealed.is_none() {
                    sealed = Some(self.inner.secrets.seal(&row.id, secret)?);
                }
                row.secret.clone_from(&sealed);
            }
            row.updated_ms = self.inner.clock.now_ms();
            let audit = by.audit(Action::Update, OBJECT_TYPE, id, row.updated_ms);
            match store::credentials::update(&self.inner.store, &row, changes_target, &audit).await {
                Err(store::Error::Conflict { .. }) => {}
                // A cluster started to use the credential after the check.
                Err(store::Error::InUse { .. }) => self.reject_if_used(&row.id, CONSEQUENCE).await?,
                outcome => {
                    outcome.map_err(from_store_error)?;
                    warn_of_closed_cloud(&row);
                    return Ok(row.into());
                }
            }
        }
        Err(Error::Conflict { id: id.to_owned() })
    }

    /// Rejects a change while a cluster uses the credential.
    async fn reject_if_used(&self, bare_id: &str, consequence: &str) -> Result<()> {
        let clusters = store::clusters::using_credential(&self.inner.store, bare_id).await?;
        let Some(cluster) = clusters.first() else { return Ok(()) };
        let message = format!(
            "Cloud credential is currently referenced by provisioning cluster {}{consequence}",
            cluster.name
        );
        Err(Invalid::new("InvalidAction", message).into())
    }

    /// The row of a credential that the caller may see. A credential whose deletion is pending is not found.
    pub(super) async fn row(&self, caller: &Caller, id: &str) -> Result<CredentialRow> {
        let row = self.row_including_pending(caller, id).await?;
        if row.deleted_ms.is_some() { Err(Error::NotFound { id: id.to_owned() }) } else { Ok(row) }
    }

    /// The row of a credential that the caller may see, even if its deletion is pending.
    async fn row_including_pending(&self, caller: &Caller, id: &str) -> Result<CredentialRow> {
        let row = match bare_id(id) {
            Some(bare) => store::credentials::get(&self.inner.store, bare).await?,
            None => None,
        };
        row.filter(|row| caller.may_see(&row.owner)).ok_or_else(|| Error::NotFound { id: id.to_owned() })
    }

    /// The resolver for inline credentials.
    pub fn resolver(&self) -> &Resolver {
        &self.inner.resolver
    }

    /// Invalidates all resolved credentials. Must be called after every change of a credential or a cluster.
    pub fn invalidate_resolved(&self) {
        self.inner.epoch.fetch_add(1, Ordering::AcqRel);
    }
}

fn missing_config() -> Error {
    let message = "a Config field must be set: send azurecredentialConfig";
    Invalid::field("MissingRequired", "azurecredentialConfig", message).into()
}

fn cloud(row: &CredentialRow) -> Cloud {
    Cloud::from_environment(row.environment.as_deref().unwrap_or_default())
}

/// Converts a store error; some are errors of the request.
pub(super) fn from_store_error(error: store::Error) -> Error {
    match error {
        store::Error::Nul => Invalid::new("InvalidCharacters", "the character NUL cannot be stored").into(),
        // The owner was disabled or deleted during the request.
        store::Error::NoOwner { .. } => Error::Forbidden(ForbiddenReason::UserDisabled),
        error => error.into(),
    }
}

fn warn_of_closed_cloud(row: &CredentialRow) {
    if row.environment.as_deref() == Some("AzureGermanCloud") {
        tracing::warn!(
            credential.id = row.id,
            "AzureGermanCloud was closed; the public cloud is used instead"
        );
    }
}
