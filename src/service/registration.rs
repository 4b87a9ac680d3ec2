//! Registration tokens, which identify the cluster of an agent (`docs/contract/registration.md#registration-tokens`). Every
//! cluster has one, created when it is first read; owners may create and delete more. Tokens are stored encrypted, beside
//! their hash: a presented token is found by its hash, and nothing is decrypted.
//!
//! `aks::registration` creates the manifest that registers an agent.

use std::sync::Arc;

use aks::registration::{Agent, Manifest};
use aks::role::Role;
use aks::spec::Object;
use aks::status::ClusterStatus;
use aks::{ids, image};
use clock::Clock;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::actor::Actor;
use super::agents::Agents;
use super::audit::{Action, AuditLog};
use super::base::Base;
use super::clusters::{Cluster, Clusters};
use super::error::ForbiddenReason;
use super::fresh_id::insert_with_fresh_id;
use super::public_address::{AgentUrlError, PublicAddress};
use super::secrets::{self, Secrets};
use super::settings::Settings;
use super::{Caller, Error, Invalid, Result};
use crate::store::{self, RegistrationTokenRow, Store, UniqueConstraint};
use crate::vault;

/// The type of object in the audit log.
const OBJECT_TYPE: &str = "clusterRegistrationToken";

/// The token that every cluster has.
pub const DEFAULT_TOKEN: &str = "default-token";

/// The maximum number of attempts to read or create the default token, which may be created or deleted concurrently.
const MAX_READS: usize = 5;

/// A registration token.
#[derive(Clone, Debug)]
pub struct RegistrationToken {
    /// The cluster.
    pub cluster_id: String,
    /// The name, unique in the cluster.
    pub name: String,
    /// A UUID that is never reused.
    pub uuid: String,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// The token itself.
    pub token: SecretString,
}

impl RegistrationToken {
    /// `c-xxxxx:default-token`
    pub fn id(&self) -> String {
        format!("{}:{}", self.cluster_id, self.name)
    }
}

/// Errors of the manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No such cluster, or the token does not belong to it.
    #[error("cluster not found or invalid token")]
    Unknown,
    /// The image name of the request is invalid.
    #[error("invalid authImage - {0}")]
    AuthImage(image::InvalidImage),
    /// No URL for agents.
    #[error(transparent)]
    Url(#[from] AgentUrlError),
    /// No image for agents.
    #[error(
        "there is no image for the agent: set the setting agent-image to an image of norman-aks that clusters can pull, or the \
         cluster's desiredAgentImage"
    )]
    NoImage,
    /// Any other error.
    #[error(transparent)]
    Other(#[from] Error),
}

/// The registration tokens. Clones share everything.
#[derive(Clone)]
pub struct Registration {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    secrets: Secrets,
    clusters: Clusters,
    settings: Settings,
    address: PublicAddress,
    audit_log: AuditLog,
    clock: Clock,
    agents: Agents,
}

impl Registration {
    /// The registration tokens of this database.
    pub fn new(
        base: &Base,
        clusters: Clusters,
        settings: Settings,
        address: PublicAddress,
        agents: Agents,
    ) -> Self {
        let Base { store, secrets, audit_log, clock, .. } = base.clone();
        let inner = Inner { store, secrets, clusters, settings, address, audit_log, clock, agents };
        Self { inner: Arc::new(inner) }
    }

    /// The tokens of every cluster that the caller owns, or of one of them.
    pub async fn list(&self, caller: &Caller, cluster_id: Option<&str>) -> Result<Vec<RegistrationToken>> {
        let mut tokens = Vec::new();
        for (cluster, role) in self.inner.clusters.list_with_roles(caller).await? {
            if role == Role::Owner && cluster_id.is_none_or(|id| id == cluster.id) {
                self.default_token(&cluster.id).await?;
                for row in store::registration_tokens::list(&self.inner.store, &cluster.id).await? {
                    tokens.extend(self.decrypt(row).await?);
                }
            }
        }
        Ok(tokens)
    }

    /// A token by its ID, `c-xxxxx:default-token`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for members who are not owners: a holder of the token can pretend to be the cluster.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<RegistrationToken> {
        let not_found = || Error::NotFound { id: id.to_owned() };
        let (cluster, role, name) = self.inner.clusters.get_for_part(caller, id).await?;
        check_owner(&cluster, role)?;
        if name == DEFAULT_TOKEN {
            return self.default_token(&cluster.id).await;
        }
        let row = store::registration_tokens::get(&self.inner.store, &cluster.id, name).await?;
        match row {
            Some(row) => self.decrypt(row).await?.ok_or_else(not_found),
            None => Err(not_found()),
        }
    }

    /// Creates another token for a cluster.
    ///
    /// # Errors
    /// [`Error::ReferenceNotFound`] for a cluster that the caller does not see, [`Error::Exists`] when the name is taken.
    pub async fn create(
        &self,
        by: &Actor,
        cluster_id: &str,
        name: Option<&str>,
    ) -> Result<RegistrationToken> {
        let result = self.insert(by, cluster_id, name).await;
        self.inner.audit_log.record_failure(by, Action::Create, OBJECT_TYPE, cluster_id, result).await
    }

    async fn insert(&self, by: &Actor, cluster_id: &str, name: Option<&str>) -> Result<RegistrationToken> {
        if cluster_id.is_empty() {
            let message = "set clusterId: a registration token belongs to one cluster";
            return Err(Invalid::field("MissingRequired", "clusterId", message).into());
        }
        let cluster_and_role = self.inner.clusters.with_role(&by.caller, cluster_id).await;
        let (cluster, role) = cluster_and_role.map_err(Error::into_reference_error)?;
        check_owner(&cluster, role)?;
        if let Some(name) = name {
            if !ids::is_dns_label(name) {
                return Err(Invalid::name().into());
            }
            let token = self.insert_token(by, &cluster.id, name.to_owned()).await?;
            return token.ok_or_else(|| Error::Exists { id: format!("{}:{name}", cluster.id) });
        }
        let name_taken = || store::Error::Duplicate { what: UniqueConstraint::Other }.into();
        insert_with_fresh_id("crt-", async |name| {
            self.insert_token(by, &cluster.id, name).await?.ok_or_else(name_taken)
        })
        .await
    }

    /// Deletes a token; returns it. The default one is created again, with another secret, when it is next read.
    ///
    /// # Errors
    /// As [`Registration::get`].
    pub async fn delete(&self, by: &Actor, id: &str) -> Result<RegistrationToken> {
        let result = self.remove(by, id).await;
        self.inner.audit_log.record_failure(by, Action::Delete, OBJECT_TYPE, id, result).await
    }

    async fn remove(&self, by: &Actor, id: &str) -> Result<RegistrationToken> {
        let token = self.get(&by.caller, id).await?;
        let audit = by.audit(Action::Delete, OBJECT_TYPE, id, self.inner.clock.now_ms());
        let (cluster_id, name) = (&token.cluster_id, &token.name);
        if store::registration_tokens::delete(&self.inner.store, cluster_id, name, &audit).await? {
            self.inner.agents.close_revoked().await?;
            if name == DEFAULT_TOKEN {
                // The worker deploys the agent again, with the new token, if this server deployed it.
                store::clusters::wake(&self.inner.store, cluster_id).await?;
                self.inner.clusters.worker_wake_up().notify_one();
            }
            return Ok(token);
        }
        Err(Error::NotFound { id: id.to_owned() })
    }

    /// The cluster that a token registers; `None` for a wrong token and for an unknown cluster. Compares the token with every
    /// hash in constant time.
    async fn find_cluster(&self, token: &str, cluster_id: &str) -> Result<Option<store::ClusterRow>> {
        let hash = vault::token_hash(token);
        let rows = store::registration_tokens::list(&self.inner.store, cluster_id).await?;
        let is_valid =
            rows.iter().fold(false, |is_valid, row| vault::hashes_equal(&row.hash, &hash) | is_valid);
        if !is_valid {
            return Ok(None);
        }
        Ok(store::clusters::get(&self.inner.store, cluster_id).await?)
    }

    /// The manifest for a presented token of a cluster. `request_origin` is the URL at which the caller reached this server,
    /// which is used if the setting `server-url` is empty.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub async fn manifest(
        &self,
        token: &str,
        cluster_id: &str,
        auth_image: Option<&str>,
        request_origin: &str,
    ) -> Result<String, ManifestError> {
        let row = self.find_cluster(token, cluster_id).await?.ok_or(ManifestError::Unknown)?;
        if let Some(auth_image) = auth_image.filter(|image| !image.is_empty()) {
            image::check(auth_image).map_err(ManifestError::AuthImage)?;
        }
        let corrupt = |error: serde_json::Error| Error::Corrupt { id: row.id.clone(), source: error.into() };
        let body: Object = serde_json::from_str(&row.spec).map_err(corrupt)?;
        let status = ClusterStatus::from_json(&row.work.status).map_err(corrupt)?;
        let url = self.inner.address.https_url(Some(request_origin)).await.ok_or(AgentUrlError::NotHttps)?;
        Ok(self.build_manifest(&url, token, &body, &status).await?.to_yaml())
    }

    /// The manifest that this server itself applies to a cluster, with the default token.
    pub async fn manifest_to_deploy(
        &self,
        cluster_id: &str,
        body: &Object,
        status: &ClusterStatus,
    ) -> Result<Manifest, ManifestError> {
        let url = self.inner.address.agent_url().await?;
        let token = self.default_token(cluster_id).await?;
        self.build_manifest(&url, token.token.expose_secret(), body, status).await
    }

    async fn build_manifest(
        &self,
        url: &str,
        token: &str,
        body: &Object,
        status: &ClusterStatus,
    ) -> Result<Manifest, ManifestError> {
        let settings = &self.inner.settings;
        let image = settings.value("agent-image").await;
        let desired_image = body.get("desiredAgentImage").and_then(serde_json::Value::as_str);
        if image.is_empty() && desired_image.is_none_or(str::is_empty) {
            return Err(ManifestError::NoImage);
        }
        let api_server = api_server(status);
        let agent = Agent {
            server: url,
            token,
            ca_certificates: &self.inner.address.authorities().await,
            image: &image,
            api_server: api_server.as_deref(),
            server_version: &settings.value("server-version").await,
            install_uuid: &settings.value("install-uuid").await,
            cluster: body,
        };
        Ok(Manifest::new(&agent))
    }

    /// The URL of this server for commands that the caller runs later; see [`PublicAddress::url`].
    pub async fn server(&self, request_origin: &str) -> String {
        self.inner.address.url(request_origin).await
    }

    /// The default token of a cluster that exists.
    async fn default_token(&self, cluster_id: &str) -> Result<RegistrationToken> {
        for _ in 0..MAX_READS {
            let row = store::registration_tokens::get(&self.inner.store, cluster_id, DEFAULT_TOKEN).await?;
            let token = match row {
                Some(row) => self.decrypt(row).await?,
                None => self.insert_token(&Actor::server(), cluster_id, DEFAULT_TOKEN.to_owned()).await?,
            };
            if let Some(token) = token {
                return Ok(token);
            }
        }
        Err(Error::Conflict { id: format!("{cluster_id}:{DEFAULT_TOKEN}") })
    }

    /// Creates a token; `None` if the name is taken.
    async fn insert_token(
        &self,
        by: &Actor,
        cluster_id: &str,
        name: String,
    ) -> Result<Option<RegistrationToken>> {
        let token = SecretString::from(ids::token_secret(vault::random()));
        let row = RegistrationTokenRow {
            cluster_id: cluster_id.to_owned(),
            name,
            uuid: uuid::Uuid::new_v4().to_string(),
            hash: vault::token_hash(token.expose_secret()).to_vec(),
            created_ms: self.inner.clock.now_ms(),
        };
        let secret = store::registration_tokens::secret_name(&row.name);
        let sealed = self.inner.secrets.seal_cluster_secret(cluster_id, &secret, &token)?;
        let audit =
            by.audit(Action::Create, OBJECT_TYPE, &format!("{cluster_id}:{}", row.name), row.created_ms);
        match store::registration_tokens::insert(&self.inner.store, &row, &sealed, &audit).await {
            // The cluster was removed concurrently.
            Err(store::Error::Dangling { .. }) => Err(Error::NotFound { id: cluster_id.to_owned() }),
            Err(error) => Err(error.into()),
            Ok(added) => Ok(added.then(|| to_token(row, token))),
        }
    }

    /// The token of a row, decrypted; `None` if it was deleted concurrently.
    async fn decrypt(&self, row: RegistrationTokenRow) -> Result<Option<RegistrationToken>> {
        let name = store::registration_tokens::secret_name(&row.name);
        let token =
            self.inner.secrets.cluster_secret(&row.cluster_id, &name).await.map_err(|error| match error {
                secrets::Error::Store(error) => Error::from(error),
                secrets::Error::Vault(error) => Error::from(error),
                error => Error::Corrupt { id: row.cluster_id.clone(), source: error.into() },
            })?;
        Ok(token.map(|token| to_token(row, token)))
    }
}

fn check_owner(cluster: &Cluster, role: Role) -> Result<()> {
    if role == Role::Owner {
        return Ok(());
    }
    Err(Error::Forbidden(ForbiddenReason::RegistrationTokens { cluster_id: cluster.id.clone(), role }))
}

fn to_token(row: RegistrationTokenRow, token: SecretString) -> RegistrationToken {
    let RegistrationTokenRow { cluster_id, name, uuid, created_ms, .. } = row;
    RegistrationToken { cluster_id, name, uuid, created_ms, token }
}

/// `<host>:<port>` of the cluster's API server.
fn api_server(status: &ClusterStatus) -> Option<String> {
    let endpoint = Url::parse(status.api_endpoint.as_deref()?).ok()?;
    Some(format!("{}:{}", endpoint.host_str()?, endpoint.port_or_known_default()?))
}
