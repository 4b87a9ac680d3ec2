//! Table `clusters`: cluster objects, with the desired spec and the status as JSON. The worker's functions are in `work` and
//! `rollouts`.

use super::transaction::Transaction;
use super::{AuditRow, Error, Store, UniqueConstraint};

mod records;
mod rollouts;
mod work;

pub use records::{RemovalRecords, UpdateRecords};
pub use rollouts::{begin_rollout, end_rollout};
pub use work::{
    NextRun, ReconcileColumns, claim, claim_identity, delete_claimed, record, refresh_spec, release,
    release_all, wake, wake_all,
};

/// A cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterRow {
    /// `c-xxxxx`
    pub id: String,
    /// A UUID that is never reused.
    pub uuid: String,
    /// The ID of the owner.
    pub owner: String,
    /// The display name.
    pub name: String,
    /// JSON: the complete body that users read and change (description, labels, annotations, aksConfig, …).
    pub spec: String,
    /// The stored credential (`cc-xxxxx`, without namespace); its row must exist.
    pub credential_id: Option<String>,
    /// Subscription, resource group and name of the AKS cluster in lower case, separated by `/`: the object's claim on that
    /// cluster, unique unless `None`.
    pub aks_identity: Option<String>,
    /// Whether Azure had responded to the object's credential before [`Self::aks_identity`] was written. Servers without this
    /// column wrote the identity before any request. A proved claim replaces an unproved one, unless the object with the
    /// unproved claim has started to create the cluster or was active.
    pub identity_proved: bool,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970.
    pub updated_ms: i64,
    /// Increases by one with every change outside of [`Self::work`]; starts at 1.
    pub version: i64,
    /// Increases by one with every change of the desired spec and with the request to delete the cluster; starts at 1.
    pub generation: i64,
    /// When its deletion was requested, in milliseconds since 1970.
    pub removing_ms: Option<i64>,
    /// JSON: the result of the review of the specification when it was saved.
    pub review: Option<String>,
    /// The state of the reconcile work.
    pub work: ReconcileColumns,
}

/// All columns of a row.
macro_rules! columns {
    () => {
        "id, uuid, owner, name, spec, credential_id, aks_identity, identity_proved, created_ms, updated_ms, version, \
         generation, removing_ms, review, fence, phase, claimed, status, applied_generation, applied_spec, operation, \
         activated_ms, refreshed_ms, attempts, next_run_ms"
    };
}
use columns;

macro_rules! select {
    ($rest:literal) => {
        concat!("select ", columns!(), " from clusters ", $rest)
    };
}

/// The condition for a valid claim: it was proved, or its object has started to create the cluster or was active.
macro_rules! is_valid_claim {
    () => {
        "(identity_proved or claimed or activated_ms is not null)"
    };
}

record!(
    ClusterRow,
    "clusters",
    id,
    uuid,
    owner,
    name,
    spec,
    credential_id,
    aks_identity,
    identity_proved,
    created_ms,
    updated_ms,
    version,
    generation,
    removing_ms,
    review,
    work,
);

/// The clusters among which a name must be unique, ignoring letter case. There is no unique index on names, because users do
/// not see each other's clusters.
#[derive(Clone, Copy, Debug)]
pub enum NameScope<'a> {
    /// All clusters.
    All,
    /// Those that a user (an ID) owns or is a member of.
    VisibleTo(&'a str),
}

impl<'a> NameScope<'a> {
    fn user_id(self) -> Option<&'a str> {
        match self {
            Self::All => None,
            Self::VisibleTo(user_id) => Some(user_id),
        }
    }
}

/// The other names in a scope. Letter case is compared in Rust, because SQLite folds only ASCII.
const OTHER_NAMES: &str =
    "select name from clusters where id <> $1 and (cast($2 as text) is null or owner = $2
    or exists (select 1 from cluster_members m where m.cluster_id = clusters.id and m.user_id = $2))";

fn contains_name(names: &[String], name: &str) -> bool {
    let lower = name.to_lowercase();
    names.iter().any(|other| other.to_lowercase() == lower)
}

/// Whether a cluster other than `own_id` has this name.
pub async fn is_name_taken(
    store: &Store,
    name: &str,
    own_id: &str,
    scope: NameScope<'_>,
) -> Result<bool, Error> {
    let others = store.fetch_all(OTHER_NAMES, args![own_id, scope.user_id()]).await?;
    Ok(contains_name(&others, name))
}

/// Removes the invalid claims of other objects on an AKS cluster.
const REMOVE_INVALID_CLAIMS: &str = concat!(
    "update clusters set aks_identity = null, version = version + 1 where aks_identity = $1 and id <> $2 and not ",
    is_valid_claim!()
);

/// Checks before a row is written.
impl Transaction<'_> {
    /// Fails if the name is taken, and reserves it until the transaction ends. A proved claim replaces an invalid one on the same
    /// AKS cluster.
    async fn prepare_cluster(
        &mut self,
        cluster: &ClusterRow,
        unique_name: Option<NameScope<'_>>,
    ) -> Result<(), Error> {
        if let Some(scope) = unique_name {
            self.lock_name(&format!("cluster name {}", cluster.name.to_lowercase())).await?;
            let others = self.fetch_all(OTHER_NAMES, args![&cluster.id, scope.user_id()]).await?;
            if contains_name(&others, &cluster.name) {
                return Err(Error::Duplicate { what: UniqueConstraint::ClusterName });
            }
        }
        if let Some(identity) = cluster.aks_identity.as_ref().filter(|_| cluster.identity_proved) {
            self.execute(REMOVE_INVALID_CLAIMS, args![identity, &cluster.id]).await?;
        }
        Ok(())
    }

    /// Fails if the credential of the row does not exist or its deletion is pending.
    async fn check_credential(&mut self, cluster: &ClusterRow) -> Result<(), Error> {
        match &cluster.credential_id {
            Some(id) if !self.is_credential_usable(id).await? => {
                Err(Error::Dangling { table: "clusters", id: cluster.id.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// Adds a cluster and schedules its work. A proved claim replaces an invalid one on the same AKS cluster.
///
/// # Errors
/// [`Error::Duplicate`] if the ID, the AKS cluster, or the name in `unique_name` is taken; [`Error::Dangling`] if the credential
/// does not exist or its deletion is pending; [`Error::NoOwner`] if the owner is disabled or was deleted.
pub async fn insert(
    store: &Store,
    cluster: &ClusterRow,
    unique_name: Option<NameScope<'_>>,
    audit: &AuditRow,
) -> Result<(), Error> {
    let sql =
        "insert into clusters (id, uuid, owner, name, spec, status, credential_id, aks_identity, created_ms,
               updated_ms, version, generation, removing_ms, review, phase, next_run_ms, identity_proved)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    let values = args![
        &cluster.id,
        &cluster.uuid,
        &cluster.owner,
        &cluster.name,
        &cluster.spec,
        &cluster.work.status,
        &cluster.credential_id,
        &cluster.aks_identity,
        cluster.created_ms,
        cluster.updated_ms,
        cluster.version,
        cluster.generation,
        cluster.removing_ms,
        &cluster.review,
        &cluster.work.phase,
        cluster.work.next_run_ms,
        cluster.identity_proved,
    ];
    let mut transaction = store.begin().await?;
    transaction.check_owner(&cluster.owner).await?;
    transaction.prepare_cluster(cluster, unique_name).await?;
    let result = transaction.execute(sql, values).await;
    result.map_err(|error| error.or_dangling("clusters", &cluster.id))?;
    transaction.check_credential(cluster).await?;
    transaction.commit_with_audit(audit).await
}

/// A cluster by its ID.
pub async fn get(store: &Store, id: &str) -> Result<Option<ClusterRow>, Error> {
    store.fetch_optional(select!("where id = $1"), args![id]).await
}

/// All clusters, or those that a user (an ID) owns or is a member of, oldest first.
pub async fn list(store: &Store, user_id: Option<&str>) -> Result<Vec<ClusterRow>, Error> {
    let sql = select!(
        "where cast($1 as text) is null or owner = $1
         or exists (select 1 from cluster_members m where m.cluster_id = clusters.id and m.user_id = $1)
         order by created_ms, id"
    );
    store.fetch_all(sql, args![user_id]).await
}

/// The clusters that use a stored credential (`cc-xxxxx`), oldest first.
pub async fn using_credential(store: &Store, credential_id: &str) -> Result<Vec<ClusterRow>, Error> {
    store.fetch_all(select!("where credential_id = $1 order by created_ms, id"), args![credential_id]).await
}

/// The cluster with a valid claim on an AKS cluster, by [`ClusterRow::aks_identity`].
pub async fn by_aks_identity(store: &Store, identity: &str) -> Result<Option<ClusterRow>, Error> {
    let sql =
        concat!("select ", columns!(), " from clusters where aks_identity = $1 and ", is_valid_claim!());
    store.fetch_optional(sql, args![identity]).await
}

/// Replaces the columns that users change in a row that was read at version `cluster.version` (ID, UUID, owner, creation time
/// and [`ReconcileColumns`] are unchanged, except that `next_run` schedules the worker and resets its failures). Returns the
/// new version. If the credential changes, [`UpdateRecords::changes_credential`] is set, and [`UpdateRecords::erasure`] names
/// the previous one, if there was one.
///
/// # Errors
/// [`Error::Conflict`] if the stored version differs or the row was deleted; otherwise as [`insert`].
pub async fn update(
    store: &Store,
    cluster: &ClusterRow,
    next_run: Option<NextRun>,
    unique_name: Option<NameScope<'_>>,
    records: impl Into<UpdateRecords<'_>>,
) -> Result<i64, Error> {
    let UpdateRecords { change, changes_credential, erasure } = records.into();
    let sql =
        "update clusters set name = $3, spec = $4, credential_id = $5, aks_identity = $6, updated_ms = $7,
               generation = $8, removing_ms = $9, review = $10, version = version + 1,
               next_run_ms = coalesce($11, next_run_ms),
               attempts = case when cast($11 as bigint) is null then attempts else 0 end, identity_proved = $12
               where id = $1 and version = $2";
    let values = args![
        &cluster.id,
        cluster.version,
        &cluster.name,
        &cluster.spec,
        &cluster.credential_id,
        &cluster.aks_identity,
        cluster.updated_ms,
        cluster.generation,
        cluster.removing_ms,
        &cluster.review,
        next_run.map(|NextRun(at_ms)| at_ms),
        cluster.identity_proved,
    ];
    let mut transaction = store.begin().await?;
    transaction.prepare_cluster(cluster, unique_name).await?;
    let result = transaction.execute(sql, values).await;
    if result.map_err(|error| error.or_dangling("clusters", &cluster.id))? == 0 {
        return Err(Error::Conflict { table: "clusters", id: cluster.id.clone() });
    }
    if changes_credential {
        transaction.check_credential(cluster).await?;
    }
    if let Some(erasure) = erasure {
        transaction.erase_unused(erasure).await?;
    }
    transaction.commit_with_audit(change).await?;
    Ok(cluster.version + 1)
}

/// Deletes a cluster regardless of its lease, and adds the event and the audit records that `records` returns for its last row;
/// returns that row.
pub async fn remove<R: Into<RemovalRecords>>(
    store: &Store,
    id: &str,
    records: impl FnOnce(&ClusterRow) -> R,
) -> Result<Option<ClusterRow>, Error> {
    let sql = concat!("delete from clusters where id = $1 returning ", columns!());
    let mut transaction = store.begin().await?;
    let Some(removed) = transaction.fetch_optional(sql, args![id]).await? else { return Ok(None) };
    let RemovalRecords { event, change, erasure } = records(&removed).into();
    transaction.add_cluster_events(id, &[event]).await?;
    if let Some(erasure) = &erasure {
        transaction.erase_unused(erasure).await?;
    }
    transaction.commit_with_audit(&change).await?;
    Ok(Some(removed))
}
