//! Stores, validates and returns cluster objects (`docs/contract/clusters.md#validation-on-save`). The desired spec is
//! stored here; the worker in `provision` applies it.
//!
//! A cluster is visible to its owner, its members and administrators; for everyone else it does not exist.

mod body;
mod checks;
mod removal;
mod review;
mod roles;
mod version;

use std::sync::Arc;

use self::body::{add_creator_label, check_characters, missing_aks_config, parse_config, parse_spec};
use self::checks::{
    check_changeable, check_subscription, is_renamed, name_scope, violation_error, write_error,
};
pub use self::removal::REMOVED;
pub use self::review::ReviewInput;
pub use self::version::ClusterVersion;
use aks::ids;
use aks::review::{Review, UnknownField, region_mismatch};
use aks::role::Role;
use aks::spec::merge::{self, Mode};
use aks::spec::rules::{self, RegionMutability};
use aks::spec::{AKS_CONFIG, AksConfig, ClusterSpec, Object};
use aks::status::{ClusterStatus, State};
use clock::Clock;
use tokio::sync::Notify;

use super::actor::Actor;
use super::audit::{Action, AuditLog};
use super::base::Base;
use super::credentials::{Credentials, MAX_ATTEMPTS, last_use_erasure};
use super::error::ForbiddenReason;
use super::fresh_id::insert_with_fresh_id;
use super::notifier::ChangeNotifier;
use super::reviews::{AccessWait, Reviews};
use super::settings::Settings;
use super::{Caller, Error, Result};
use crate::store::clusters::UpdateRecords;
use crate::store::{self, ClusterRow, NextRun, ReconcileColumns, Store};

/// The type of object in the audit log.
pub const OBJECT_TYPE: &str = "cluster";

/// A cluster with everything that its owner may see.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// `c-xxxxx`
    pub id: String,
    /// A UUID that is never reused.
    pub uuid: String,
    /// The ID of its owner: the creator, or a user to whom it was handed over.
    pub owner: String,
    /// The display name.
    pub name: String,
    /// The desired spec.
    pub spec: ClusterSpec,
    /// The status.
    pub status: ClusterStatus,
    /// The state.
    pub state: State,
    /// The applied spec.
    pub applied: Option<AksConfig>,
    /// The review of the last save, and a finding if Azure reports another region.
    pub review: Option<Review>,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

impl TryFrom<ClusterRow> for Cluster {
    type Error = Error;

    fn try_from(row: ClusterRow) -> Result<Self> {
        let corrupt =
            |source: serde_json::Error| Error::Corrupt { id: row.id.clone(), source: source.into() };
        let spec = ClusterSpec::from_text(&row.spec).map_err(corrupt)?;
        let status =
            ClusterStatus::from_json(&row.work.status).map_err(corrupt)?.for_generation(row.generation);
        let mut review: Option<Review> =
            row.review.as_deref().map(serde_json::from_str).transpose().map_err(corrupt)?;
        // The observed state may be newer than the review.
        let upstream = status.upstream_spec.as_ref();
        if let Some(finding) = upstream.and_then(|upstream| region_mismatch(spec.aks(), upstream)) {
            review.get_or_insert_default().add(finding);
        }
        Ok(Self {
            spec,
            state: State::new(
                row.removing_ms.is_some(),
                row.work.activated_ms.is_some(),
                row.generation,
                row.work.applied_generation,
            ),
            applied: row
                .work
                .applied_spec
                .as_deref()
                .map(serde_json::from_str)
                .transpose()
                .map_err(corrupt)?,
            review,
            status,
            id: row.id,
            uuid: row.uuid,
            owner: row.owner,
            name: row.name,
            created_ms: row.created_ms,
        })
    }
}

/// The change of a cluster, or the content of a new one.
#[derive(Clone, Debug, Default)]
pub struct ClusterChange {
    /// The name, if the request contains it.
    pub name: Option<String>,
    /// The rest of the body, with types as in the schema; `null` unsets a field.
    pub body: Object,
    /// Unknown keys of `aksConfig` in the body.
    pub unknown: Vec<UnknownField>,
}

/// The clusters. Clones share everything.
#[derive(Clone)]
pub struct Clusters {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    credentials: Credentials,
    audit_log: AuditLog,
    settings: Settings,
    reviews: Reviews,
    clock: Clock,
    worker_wake_up: Arc<Notify>,
    notifier: ChangeNotifier,
}

impl Clusters {
    /// The clusters of this database.
    pub fn new(base: &Base, credentials: Credentials, settings: Settings, reviews: Reviews) -> Self {
        let Base { store, audit_log, clock, .. } = base.clone();
        let (worker_wake_up, notifier) = (Arc::default(), ChangeNotifier::default());
        Self {
            inner: Arc::new(Inner {
                store,
                credentials,
                audit_log,
                settings,
                reviews,
                clock,
                worker_wake_up,
                notifier,
            }),
        }
    }

    /// The wake-up of this server's worker; notified when the worker has work.
    pub fn worker_wake_up(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.worker_wake_up)
    }

    /// The notifier for subscribers to cluster events in this server.
    pub fn notifier(&self) -> ChangeNotifier {
        self.inner.notifier.clone()
    }

    /// A cluster by its ID.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Cluster> {
        self.row(caller, id).await?.try_into()
    }

    /// The clusters that the caller may see.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Cluster>> {
        self.rows(caller).await?.into_iter().map(Cluster::try_from).collect()
    }

    /// Creates a cluster.
    ///
    /// # Errors
    /// The first violated rule, in Rancher's order and with its messages.
    pub async fn create(&self, by: &Actor, change: ClusterChange) -> Result<Cluster> {
        let result = self.insert(by, change).await;
        self.inner.audit_log.record_failure(by, Action::Create, OBJECT_TYPE, "", result).await
    }

    async fn insert(&self, by: &Actor, change: ClusterChange) -> Result<Cluster> {
        let caller = &by.caller;
        let name = change.name.unwrap_or_default();
        if !change.body.contains_key(AKS_CONFIG) {
            return Err(missing_aks_config());
        }
        check_characters(&name, &change.body, None)?;
        let mut body = merge::apply_change(&Object::new(), change.body, Mode::Replace);
        add_creator_label(&mut body);
        let spec = parse_spec(body)?;
        self.check_operator().await?;
        let credential = self.credential(caller, spec.aks()).await?;
        rules::check_request(spec.body(), spec.aks(), None, true).map_err(violation_error)?;
        let aks_identity = credential.aks_identity(spec.aks());
        self.check_aks_identity(aks_identity.as_deref(), "", spec.aks()).await?;
        rules::check_region(spec.aks()).map_err(violation_error)?;
        self.check_name(caller, &name, "").await?;
        let admitted = self.admit_new(by, &spec, &change.unknown, self.inner.reviews.access_wait()).await?;
        // Without a response of Azure, the object does not reserve the AKS cluster: otherwise, anyone who knows the
        // subscription ID could block the subscription's owner.
        let aks_identity = aks_identity.filter(|_| credential.is_verified_by(&admitted));
        let now_ms = self.inner.clock.now_ms();
        let row = ClusterRow {
            uuid: uuid::Uuid::new_v4().to_string(),
            owner: caller.user_id.clone(),
            name,
            spec: spec.to_text(),
            credential_id: credential.id,
            identity_proved: aks_identity.is_some(),
            aks_identity,
            created_ms: now_ms,
            updated_ms: now_ms,
            version: 1,
            generation: 1,
            review: admitted.review,
            work: ReconcileColumns {
                phase: "new".to_owned(),
                status: ClusterStatus::default().to_json(),
                next_run_ms: Some(now_ms),
                ..ReconcileColumns::default()
            },
            ..ClusterRow::default()
        };
        let insertion = insert_with_fresh_id("c-", |id| {
            let (row, store) = (ClusterRow { id, ..row.clone() }, &self.inner.store);
            let (audit, aks) = (by.audit(Action::Create, OBJECT_TYPE, &row.id, now_ms), spec.aks());
            async move {
                store::cluster_events::delete_orphaned(store, &row.id).await?;
                let inserted = store::clusters::insert(store, &row, Some(name_scope(caller)), &audit).await;
                inserted.map(|()| row).map_err(|error| write_error(error, aks))
            }
        });
        let row = insertion.await?;
        self.inner.worker_wake_up.notify_one();
        row.try_into()
    }

    /// Changes a cluster.
    ///
    /// # Errors
    /// The first violated rule, in Rancher's order and with its messages; [`Error::Conflict`] if the cluster is changed
    /// concurrently in every attempt.
    pub async fn update(&self, by: &Actor, id: &str, change: ClusterChange, mode: Mode) -> Result<Cluster> {
        let result = self.try_update(by, id, &change, mode).await;
        self.inner.credentials.invalidate_resolved();
        self.inner.audit_log.record_failure(by, Action::Update, OBJECT_TYPE, id, result).await
    }

    async fn try_update(&self, by: &Actor, id: &str, change: &ClusterChange, mode: Mode) -> Result<Cluster> {
        let access_wait = self.inner.reviews.access_wait();
        for _ in 0..MAX_ATTEMPTS {
            let mut row = self.changeable_row(&by.caller, id).await?;
            let before = row.clone();
            let aks = self.change_row(by, &mut row, change, mode, access_wait).await?;
            let now_ms = self.inner.clock.now_ms();
            let audit = by.audit(Action::Update, OBJECT_TYPE, &row.id, now_ms);
            let unique_name = is_renamed(&before.name, &row.name).then(|| name_scope(&by.caller));
            let changes_credential = before.credential_id != row.credential_id;
            let erasure = changes_credential.then(|| last_use_erasure(by, &before, now_ms)).flatten();
            let records = UpdateRecords { change: &audit, changes_credential, erasure: erasure.as_ref() };
            let (store, next_run) = (&self.inner.store, Some(NextRun(now_ms)));
            match store::clusters::update(store, &row, next_run, unique_name, records).await {
                Err(store::Error::Conflict { .. }) => {}
                Err(error) => return Err(write_error(error, &aks)),
                Ok(_) => {
                    self.inner.worker_wake_up.notify_one();
                    return row.try_into();
                }
            }
        }
        Err(Error::Conflict { id: id.to_owned() })
    }

    /// Validates a change and applies it to the row; returns the new `aksConfig`.
    async fn change_row(
        &self,
        by: &Actor,
        row: &mut ClusterRow,
        change: &ClusterChange,
        mode: Mode,
        access_wait: AccessWait,
    ) -> Result<AksConfig> {
        let caller = &by.caller;
        let stored = Cluster::try_from(row.clone())?;
        check_changeable(&stored)?;
        let requested_config = match change.body.get(AKS_CONFIG) {
            Some(serde_json::Value::Object(config)) => Some(config.clone()),
            None if mode != Mode::Replace => None,
            _ => return Err(missing_aks_config()),
        };
        let name = change.name.clone().unwrap_or_default();
        check_characters(&name, &change.body, Some((&stored.name, stored.spec.body())))?;
        let mut body = stored.with_change(change.body.clone(), mode);
        add_creator_label(&mut body);
        let spec = parse_spec(body)?;
        let requested = parse_config(requested_config.unwrap_or_default())?;
        if change.body.contains_key(AKS_CONFIG) {
            self.check_operator().await?;
        }
        let (old, new) = (stored.spec.aks(), spec.aks());
        let credential = if old.azure_credential_secret != new.azure_credential_secret {
            self.credential(caller, new).await?
        } else if row.credential_id.is_none() && requested.azure_credential_secret.is_some() {
            // The credential was deleted although the cluster used it.
            return Err(Error::NoCredential);
        } else {
            self.current_credential(row.credential_id.take()).await?
        };
        let upstream = stored.status.upstream_spec.as_ref();
        rules::check_request(&change.body, &requested, upstream, false).map_err(violation_error)?;
        let region = match stored.state {
            State::Provisioning => RegionMutability::Mutable,
            _ => RegionMutability::Immutable(stored.status.details.region.as_deref()),
        };
        rules::check_fixed(stored.spec.body(), &change.body, region).map_err(violation_error)?;
        let aks_identity = credential.aks_identity(new);
        self.check_aks_identity(aks_identity.as_deref(), &row.id, new).await?;
        check_subscription(row, aks_identity.as_deref())?;
        if name.is_empty() || is_renamed(&row.name, &name) {
            self.check_name(caller, &name, &row.id).await?;
        }
        let stored_review = row.review.take();
        let admitted =
            self.admit_change(by, &stored, &spec, &change.unknown, stored_review, access_wait).await?;
        credential.set_aks_identity(row, aks_identity, &admitted);
        row.review = admitted.review;
        row.name = name;
        // An unchanged spec has no new generation, because applying it again could undo changes that were made in Azure.
        let is_unchanged = stored.state == State::Active && old == new;
        if !is_unchanged {
            row.generation += 1;
        }
        row.spec = spec.to_text();
        row.credential_id = credential.id;
        row.updated_ms = self.inner.clock.now_ms();
        Ok(new.clone())
    }

    /// The version of the database. While it is unchanged and no other server writes, [`Self::with_role`] returns the same.
    pub(super) fn store_version(&self) -> u64 {
        self.inner.store.version()
    }

    /// A cluster by its ID, with the caller's role.
    pub async fn with_role(&self, caller: &Caller, id: &str) -> Result<(Cluster, Role)> {
        let (row, role) = self.row_and_role(caller, id).await?;
        Ok((row.try_into()?, role))
    }

    /// The cluster of an object with the ID `c-xxxxx:<name>`, the caller's role in the cluster, and the name of the object.
    pub async fn get_for_part<'a>(&self, caller: &Caller, id: &'a str) -> Result<(Cluster, Role, &'a str)> {
        let not_found = || Error::NotFound { id: id.to_owned() };
        let (cluster_id, name) = ids::split_namespaced(id).ok_or_else(not_found)?;
        match self.with_role(caller, cluster_id).await {
            Err(Error::NotFound { .. }) => Err(not_found()),
            found => found.map(|(cluster, role)| (cluster, role, name)),
        }
    }

    /// The row of a cluster that the caller may see.
    async fn row(&self, caller: &Caller, id: &str) -> Result<ClusterRow> {
        Ok(self.row_and_role(caller, id).await?.0)
    }

    /// The row of a cluster that the caller may change.
    async fn changeable_row(&self, caller: &Caller, id: &str) -> Result<ClusterRow> {
        match self.row_and_role(caller, id).await? {
            (row, Role::Owner) => Ok(row),
            (row, role) => Err(Error::Forbidden(ForbiddenReason::ChangeCluster { cluster_id: row.id, role })),
        }
    }

    pub(super) async fn row_and_role(&self, caller: &Caller, id: &str) -> Result<(ClusterRow, Role)> {
        let not_found = || Error::NotFound { id: id.to_owned() };
        let row = store::clusters::get(&self.inner.store, id).await?.ok_or_else(not_found)?;
        if caller.may_see(&row.owner) {
            return Ok((row, Role::Owner));
        }
        let member = store::members::find(&self.inner.store, id, &caller.user_id).await?;
        let role = member.and_then(|member| Role::from_name(&member.role)).ok_or_else(not_found)?;
        Ok((row, role))
    }

    async fn rows(&self, caller: &Caller) -> Result<Vec<ClusterRow>> {
        let owner = (!caller.admin).then_some(caller.user_id.as_str());
        Ok(store::clusters::list(&self.inner.store, owner).await?)
    }
}
