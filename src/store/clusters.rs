//! Table `clusters`: cluster objects, one JSON text for what users see and one for what is known about it. What the worker
//! does with them is in `work`.

use super::change::Serialise as _;
use super::cluster_events::add;
use super::credentials::EraseUnused as _;
use super::rows::{Columns, Fields, without_nul};
use super::users::UserRules as _;
use super::{AuditRow, Error, Store, Unique};

mod records;
mod work;

pub use records::{Records, RemovalRecords};
pub use work::{
    Wake, WorkColumns, claim, claim_identity, delete_claimed, free_all, next_due_ms, record, refresh_spec,
    release, renew, wake, wake_all,
};

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRow {
    /// `c-xxxxx`
    pub id: String,
    /// Never given to another object.
    pub uuid: String,
    /// The id of the user who made it.
    pub owner: String,
    /// The name that people see.
    pub name: String,
    /// JSON: the whole body that users see and change (description, labels, annotations, aksConfig, …).
    pub spec: String,
    /// The stored credential it uses (`cc-xxxxx`, without namespace); that row must exist.
    pub credential_id: Option<String>,
    /// Subscription, resource group and name of the AKS cluster in lower case, with `/` between: the object's claim on it,
    /// unique unless `None`.
    pub aks_identity: Option<String>,
    /// Whether Azure answered with the object's credential before [`Self::aks_identity`] was written. Versions before this
    /// column wrote it without asking; such a claim gives way to a proved one until something was made in Azure.
    pub identity_proved: bool,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970.
    pub updated_ms: i64,
    /// Grows by one with every change of the columns above and the three that follow; a new row has 1.
    pub version: i64,
    /// Grows by one with every change of what the user wants; a new row has 1.
    pub generation: i64,
    /// When its removal was asked for, in milliseconds since 1970.
    pub removing_ms: Option<i64>,
    /// JSON: what the review of the specification found when it was saved.
    pub review: Option<String>,
    /// Where the work on it stands.
    pub work: WorkColumns,
}

/// Every column of a row.
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

/// A claim that counts, as a condition: one that Azure proved, or that something was made with.
macro_rules! is_proved {
    () => {
        "(identity_proved or claimed or activated_ms is not null)"
    };
}

fn row(row: &impl Columns) -> Result<ClusterRow, Error> {
    let fields = Fields::of(row, "clusters", "id")?;
    Ok(ClusterRow {
        id: fields.key(),
        uuid: fields.text("uuid")?,
        owner: fields.text("owner")?,
        name: fields.text("name")?,
        spec: fields.text("spec")?,
        credential_id: fields.text_opt("credential_id")?,
        aks_identity: fields.text_opt("aks_identity")?,
        identity_proved: fields.flag("identity_proved")?,
        created_ms: fields.number("created_ms")?,
        updated_ms: fields.number("updated_ms")?,
        version: fields.number("version")?,
        generation: fields.number("generation")?,
        removing_ms: fields.number_opt("removing_ms")?,
        review: fields.text_opt("review")?,
        work: WorkColumns {
            fence: fields.number("fence")?,
            phase: fields.text("phase")?,
            claimed: fields.flag("claimed")?,
            status: fields.text("status")?,
            applied_generation: fields.number("applied_generation")?,
            applied_spec: fields.text_opt("applied_spec")?,
            operation: fields.text_opt("operation")?,
            activated_ms: fields.number_opt("activated_ms")?,
            refreshed_ms: fields.number_opt("refreshed_ms")?,
            attempts: fields.number("attempts")?,
            next_run_ms: fields.number_opt("next_run_ms")?,
        },
    })
}

fn check(cluster: &ClusterRow) -> Result<(), Error> {
    without_nul([
        ("id", Some(cluster.id.as_str())),
        ("uuid", Some(cluster.uuid.as_str())),
        ("owner", Some(cluster.owner.as_str())),
        ("name", Some(cluster.name.as_str())),
        ("spec", Some(cluster.spec.as_str())),
        ("review", cluster.review.as_deref()),
        ("status", Some(cluster.work.status.as_str())),
        ("credential_id", cluster.credential_id.as_deref()),
        ("aks_identity", cluster.aks_identity.as_deref()),
    ])
}

fn dangling(error: sqlx::Error, cluster: &ClusterRow) -> Error {
    let error = Error::from(error);
    if error.is_foreign_key() {
        return Error::Dangling { table: "clusters", id: cluster.id.clone() };
    }
    error
}

/// The clusters among which a name is to be unique, in whatever letter case. There is no unique index on names: users do
/// not see each other's clusters.
#[derive(Clone, Copy, Debug)]
pub enum NameScope<'a> {
    /// All clusters.
    All,
    /// Those that a user (an id) owns or is a member of.
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

const OTHER_NAMES: &str =
    "select id, name from clusters where id <> $1 and (cast($2 as text) is null or owner = $2
    or exists (select 1 from cluster_members m where m.cluster_id = clusters.id and m.user_id = $2))";

fn is_named(row: &impl Columns, lower: &str) -> Result<bool, Error> {
    Ok(Fields::of(row, "clusters", "id")?.text("name")?.to_lowercase() == lower)
}

/// Whether a cluster other than `own_id` has that name.
pub async fn is_name_taken(
    store: &Store,
    name: &str,
    own_id: &str,
    scope: NameScope<'_>,
) -> Result<bool, Error> {
    without_nul([("name", Some(name)), ("id", Some(own_id))])?;
    let lower = name.to_lowercase();
    read!(store, |pool| {
        let rows = sqlx::query(OTHER_NAMES).bind(own_id).bind(scope.user_id()).fetch_all(pool).await?;
        rows.iter().try_fold(false, |taken, row| Ok(taken || is_named(row, &lower)?))
    })
}

/// Fails when the name of a cluster is taken, and keeps it from being taken until the transaction ends.
macro_rules! check_name {
    ($transaction:ident, $cluster:expr, $scope:expr) => {
        if let Some(scope) = $scope {
            let lower = $cluster.name.to_lowercase();
            $transaction.serialise(&format!("cluster name {lower}")).await?;
            let query = sqlx::query(OTHER_NAMES).bind(&$cluster.id).bind(scope.user_id());
            for row in &query.fetch_all(&mut *$transaction).await? {
                if is_named(row, &lower)? {
                    return Err(Error::Duplicate { what: Unique::ClusterName });
                }
            }
        }
    };
}

/// Takes an AKS cluster away from objects whose claim does not count, for one whose claim does.
const RELEASE_UNPROVED: &str = concat!(
    "update clusters set aks_identity = null where aks_identity = $1 and id <> $2 and not ",
    is_proved!()
);

/// [`RELEASE_UNPROVED`] for a row that is about to be written.
macro_rules! release_unproved {
    ($transaction:ident, $cluster:expr) => {
        if let Some(identity) = $cluster.aks_identity.as_ref().filter(|_| $cluster.identity_proved) {
            sqlx::query(RELEASE_UNPROVED)
                .bind(identity)
                .bind(&$cluster.id)
                .execute(&mut *$transaction)
                .await?;
        }
    };
}

/// Fails unless clusters may begin to use the credential that the row names.
macro_rules! check_credential {
    ($transaction:ident, $cluster:expr) => {
        if let Some(id) = &$cluster.credential_id
            && !$transaction.is_usable(id).await?
        {
            return Err(Error::Dangling { table: "clusters", id: $cluster.id.clone() });
        }
    };
}

/// Adds a cluster, with the work on it that is to be done. A proved claim takes the AKS cluster from one that does not count.
///
/// # Errors
/// [`Error::Duplicate`] when the id or the AKS cluster is taken, or the name in `unique_name`; [`Error::Dangling`] when the
/// credential does not exist or its deletion is pending; [`Error::NoOwner`] when the owner is disabled or removed.
pub async fn insert(
    store: &Store,
    cluster: &ClusterRow,
    unique_name: Option<NameScope<'_>>,
    audit: &AuditRow,
) -> Result<(), Error> {
    check(cluster)?;
    let sql =
        "insert into clusters (id, uuid, owner, name, spec, status, credential_id, aks_identity, created_ms,
               updated_ms, version, generation, removing_ms, review, phase, next_run_ms, identity_proved)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    change!(store, audit, |transaction| {
        transaction.check_owner(&cluster.owner).await?;
        check_name!(transaction, cluster, unique_name);
        release_unproved!(transaction, cluster);
        let query = sqlx::query(sql)
            .bind(&cluster.id)
            .bind(&cluster.uuid)
            .bind(&cluster.owner)
            .bind(&cluster.name)
            .bind(&cluster.spec)
            .bind(&cluster.work.status)
            .bind(&cluster.credential_id)
            .bind(&cluster.aks_identity)
            .bind(cluster.created_ms)
            .bind(cluster.updated_ms)
            .bind(cluster.version)
            .bind(cluster.generation)
            .bind(cluster.removing_ms)
            .bind(&cluster.review)
            .bind(&cluster.work.phase)
            .bind(cluster.work.next_run_ms)
            .bind(cluster.identity_proved);
        let done = query.execute(&mut *transaction).await.map_err(|error| dangling(error, cluster))?;
        check_credential!(transaction, cluster);
        Some(done.rows_affected())
    });
    Ok(())
}

/// The cluster of that id.
pub async fn get(store: &Store, id: &str) -> Result<Option<ClusterRow>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    let sql = select!("where id = $1");
    read!(store, |pool| sqlx::query(sql).bind(id).fetch_optional(pool).await?.as_ref().map(row).transpose())
}

/// All clusters, or those that a user (an id) owns or is a member of, oldest first.
pub async fn list(store: &Store, user_id: Option<&str>) -> Result<Vec<ClusterRow>, Error> {
    without_nul([("user_id", user_id)])?;
    let sql = select!(
        "where cast($1 as text) is null or owner = $1
         or exists (select 1 from cluster_members m where m.cluster_id = clusters.id and m.user_id = $1)
         order by created_ms, id"
    );
    read!(store, |pool| sqlx::query(sql).bind(user_id).fetch_all(pool).await?.iter().map(row).collect())
}

/// The clusters that use a stored credential (`cc-xxxxx`), oldest first.
pub async fn using_credential(store: &Store, credential_id: &str) -> Result<Vec<ClusterRow>, Error> {
    if credential_id.contains('\0') {
        return Ok(Vec::new());
    }
    let sql = select!("where credential_id = $1 order by created_ms, id");
    read!(store, |pool| sqlx::query(sql).bind(credential_id).fetch_all(pool).await?.iter().map(row).collect())
}

/// The cluster whose claim on an AKS cluster counts, by [`ClusterRow::aks_identity`].
pub async fn by_aks_identity(store: &Store, identity: &str) -> Result<Option<ClusterRow>, Error> {
    if identity.contains('\0') {
        return Ok(None);
    }
    let sql = concat!("select ", columns!(), " from clusters where aks_identity = $1 and ", is_proved!());
    read!(store, |pool| sqlx::query(sql)
        .bind(identity)
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(row)
        .transpose())
}

/// Replaces what users change in a row that was read as `cluster.version` (id, uuid, owner and date of making stay, and so
/// does the work on it) and brings the worker's next look forward; returns the new version. A change to another credential names
/// the one before in [`Records::erasure`].
///
/// # Errors
/// [`Error::Conflict`] when the stored version is another one or the row is gone; otherwise as [`insert`].
pub async fn update(
    store: &Store,
    cluster: &ClusterRow,
    wake: Option<Wake>,
    unique_name: Option<NameScope<'_>>,
    records: impl Into<Records<'_>>,
) -> Result<i64, Error> {
    check(cluster)?;
    let Records { change, erasure } = records.into();
    let sql =
        "update clusters set name = $3, spec = $4, credential_id = $5, aks_identity = $6, updated_ms = $7,
               generation = $8, removing_ms = $9, review = $10, version = version + 1,
               next_run_ms = coalesce($11, next_run_ms),
               attempts = case when cast($11 as bigint) is null then attempts else 0 end, identity_proved = $12
               where id = $1 and version = $2";
    change!(store, change, |transaction| {
        check_name!(transaction, cluster, unique_name);
        release_unproved!(transaction, cluster);
        let query = sqlx::query(sql)
            .bind(&cluster.id)
            .bind(cluster.version)
            .bind(&cluster.name)
            .bind(&cluster.spec)
            .bind(&cluster.credential_id)
            .bind(&cluster.aks_identity)
            .bind(cluster.updated_ms)
            .bind(cluster.generation)
            .bind(cluster.removing_ms)
            .bind(&cluster.review)
            .bind(wake.map(|Wake(at_ms)| at_ms))
            .bind(cluster.identity_proved);
        let done = query.execute(&mut *transaction).await.map_err(|error| dangling(error, cluster))?;
        let done = done.rows_affected() > 0;
        if let Some(erasure) = erasure.filter(|_| done) {
            check_credential!(transaction, cluster);
            transaction.erase_unused(erasure).await?;
        }
        done.then_some(())
    })
    .map(|()| cluster.version + 1)
    .ok_or_else(|| Error::Conflict { table: "clusters", id: cluster.id.clone() })
}

/// Removes a cluster whoever works on it, with the event and the audit records that `records` makes of its last row; returns
/// that row.
pub async fn remove<R: Into<RemovalRecords>>(
    store: &Store,
    id: &str,
    records: impl FnOnce(&ClusterRow) -> R,
) -> Result<Option<ClusterRow>, Error> {
    if id.contains('\0') {
        return Ok(None);
    }
    let sql = concat!("delete from clusters where id = $1 returning ", columns!());
    let gone = change!(store, |gone| &gone.1.change, |transaction| {
        let gone = sqlx::query(sql).bind(id).fetch_optional(&mut *transaction).await?;
        match gone.as_ref().map(row).transpose()? {
            Some(gone) => {
                let records: RemovalRecords = records(&gone).into();
                add!(transaction, id, std::slice::from_ref(&records.event));
                if let Some(erasure) = &records.erasure {
                    transaction.erase_unused(erasure).await?;
                }
                Some((gone, records))
            }
            None => None,
        }
    });
    Ok(gone.map(|(gone, _)| gone))
}
