//! Table `clusters`: cluster objects, one JSON text for what users see and one for what is known about it.

use super::rows::{Columns, Fields, without_nul};
use super::{Error, Kind, Store};

/// A cluster (contract, section 13).
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
    /// Subscription, resource group and name of the AKS cluster in lower case, with `/` between; the only one of its
    /// kind unless `None`.
    pub aks_identity: Option<String>,
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

/// The columns that only the worker changes. A user's change never touches them, and the other way round, so that the two
/// do not get into each other's way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkColumns {
    /// Grows by one each time somebody claims the cluster; a record of an older claim is refused.
    pub fence: i64,
    /// `new`, `creating`, `active` or `removing`.
    pub phase: String,
    /// Whether the intent to make it in Azure was written down.
    pub claimed: bool,
    /// JSON: what we know about it (conditions, aksStatus, …).
    pub status: String,
    /// The generation that was last brought about; 0 for none.
    pub applied_generation: i64,
    /// JSON: `aksConfig` of that generation.
    pub applied_spec: Option<String>,
    /// JSON: the long operation that Azure works on.
    pub operation: Option<String>,
    /// When it was active for the first time, in milliseconds since 1970.
    pub activated_ms: Option<i64>,
    /// When Azure's view of it was last read, in milliseconds since 1970.
    pub refreshed_ms: Option<i64>,
    /// Failures in a row.
    pub attempts: i64,
    /// When the worker should look at it next, in milliseconds since 1970; `None` for never.
    pub next_run_ms: Option<i64>,
}

/// The moment at which the worker should look next, which a user's change may bring forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake(pub i64);

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, uuid, owner, name, spec, credential_id, aks_identity, created_ms, updated_ms, version, ",
            "generation, removing_ms, review, fence, phase, claimed, status, applied_generation, applied_spec, ",
            "operation, activated_ms, refreshed_ms, attempts, next_run_ms from clusters ",
            $rest
        )
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

/// Adds a cluster, with the work on it that is to be done.
///
/// # Errors
/// [`Error::Duplicate`] when the id or the AKS cluster is taken, [`Error::Dangling`] when the credential does not exist.
pub async fn insert(store: &Store, cluster: &ClusterRow) -> Result<(), Error> {
    check(cluster)?;
    let sql =
        "insert into clusters (id, uuid, owner, name, spec, status, credential_id, aks_identity, created_ms,
               updated_ms, version, generation, removing_ms, review, phase, next_run_ms)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    let outcome = write!(store, |pool| sqlx::query(sql)
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
        .execute(pool)
        .await
        .map(|_| ()));
    outcome.map_err(|error| dangling(error, cluster))
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

/// The cluster that stands for an AKS cluster, by [`ClusterRow::aks_identity`].
pub async fn by_aks_identity(store: &Store, identity: &str) -> Result<Option<ClusterRow>, Error> {
    if identity.contains('\0') {
        return Ok(None);
    }
    let sql = select!("where aks_identity = $1");
    read!(store, |pool| sqlx::query(sql)
        .bind(identity)
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(row)
        .transpose())
}

/// Replaces what users change in a row that was read as `cluster.version` (id, uuid, owner and date of making stay, and so
/// does the work on it) and brings the worker's next look forward; returns the new version.
///
/// # Errors
/// [`Error::Conflict`] when the stored version is another one or the row is gone; otherwise as [`insert`].
pub async fn update(store: &Store, cluster: &ClusterRow, wake: Option<Wake>) -> Result<i64, Error> {
    check(cluster)?;
    let sql =
        "update clusters set name = $3, spec = $4, credential_id = $5, aks_identity = $6, updated_ms = $7,
               generation = $8, removing_ms = $9, review = $10, version = version + 1,
               next_run_ms = coalesce($11, next_run_ms),
               attempts = case when cast($11 as bigint) is null then attempts else 0 end
               where id = $1 and version = $2";
    let outcome = write!(store, |pool| sqlx::query(sql)
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
        .execute(pool)
        .await
        .map(|done| done.rows_affected()));
    if outcome.map_err(|error| dangling(error, cluster))? == 0 {
        return Err(Error::Conflict { table: "clusters", id: cluster.id.clone() });
    }
    Ok(cluster.version + 1)
}

/// Claims up to `limit` clusters that are due at `now_ms` and that nobody else holds: until `lease_until_ms` they are
/// `holder`'s. The longest due come first.
pub async fn claim(
    store: &Store,
    holder: &str,
    now_ms: i64,
    lease_until_ms: i64,
    limit: u32,
) -> Result<Vec<ClusterRow>, Error> {
    without_nul([("lease_by", Some(holder))])?;
    macro_rules! claim {
        ($lock:literal) => {
            concat!(
                "update clusters set lease_by = $1, lease_until_ms = $2, fence = fence + 1 where id in (",
                "select id from clusters where next_run_ms <= $3 and lease_until_ms <= $3 ",
                "order by next_run_ms, id limit $4",
                $lock,
                ") returning id, uuid, owner, name, spec, credential_id, aks_identity, created_ms, updated_ms, ",
                "version, generation, removing_ms, review, fence, phase, claimed, status, applied_generation, ",
                "applied_spec, operation, activated_ms, refreshed_ms, attempts, next_run_ms"
            )
        };
    }
    // PostgreSQL passes over rows that another server is just claiming; SQLite has one writer anyway.
    let sql = match store.kind() {
        Kind::Sqlite => claim!(""),
        Kind::Postgres => claim!(" for update skip locked"),
    };
    write!(store, |pool| sqlx::query(sql)
        .bind(holder)
        .bind(lease_until_ms)
        .bind(now_ms)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?
        .iter()
        .map(row)
        .collect())
}

/// Lengthens a claim; false when it is no longer the holder's.
pub async fn renew(store: &Store, id: &str, fence: i64, lease_until_ms: i64) -> Result<bool, Error> {
    let sql = "update clusters set lease_until_ms = $3 where id = $1 and fence = $2";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(id)
        .bind(fence)
        .bind(lease_until_ms)
        .execute(pool)
        .await?
        .rows_affected())
        > 0)
}

/// Writes down where the work stands, under the claim `work.fence`, and keeps the claim. `seen_generation` is the
/// generation that was worked on: when the user changed something since, the next look is brought forward to `now_ms`.
/// False when the claim is no longer the holder's, or the cluster is gone: then nothing was written.
pub async fn record(
    store: &Store,
    id: &str,
    work: &WorkColumns,
    seen_generation: i64,
    now_ms: i64,
) -> Result<bool, Error> {
    write_work(store, id, work, (seen_generation, now_ms), None).await
}

/// As [`record`], and gives the claim back.
pub async fn release(
    store: &Store,
    id: &str,
    work: &WorkColumns,
    seen_generation: i64,
    now_ms: i64,
) -> Result<bool, Error> {
    write_work(store, id, work, (seen_generation, now_ms), Some(0)).await
}

async fn write_work(
    store: &Store,
    id: &str,
    work: &WorkColumns,
    (seen_generation, now_ms): (i64, i64),
    lease_until_ms: Option<i64>,
) -> Result<bool, Error> {
    without_nul([
        ("status", Some(work.status.as_str())),
        ("applied_spec", work.applied_spec.as_deref()),
        ("operation", work.operation.as_deref()),
    ])?;
    let sql = "update clusters set phase = $3, claimed = $4, status = $5, applied_generation = $6, applied_spec = $7,
               operation = $8, activated_ms = $9, refreshed_ms = $10, attempts = $11,
               next_run_ms = case when generation = $13 then cast($12 as bigint) else $14 end,
               lease_until_ms = coalesce(cast($15 as bigint), lease_until_ms)
               where id = $1 and fence = $2";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(id)
        .bind(work.fence)
        .bind(&work.phase)
        .bind(work.claimed)
        .bind(&work.status)
        .bind(work.applied_generation)
        .bind(&work.applied_spec)
        .bind(&work.operation)
        .bind(work.activated_ms)
        .bind(work.refreshed_ms)
        .bind(work.attempts)
        .bind(work.next_run_ms)
        .bind(seen_generation)
        .bind(now_ms)
        .bind(lease_until_ms)
        .execute(pool)
        .await?
        .rows_affected())
        > 0)
}

/// Replaces the specification from the worker's side (what Azure says of managed keys), under the claim `fence`, unless
/// the row was changed since it was read as `version`; false then. The generation stays: nobody wants anything new.
pub async fn refresh_spec(
    store: &Store,
    id: &str,
    fence: i64,
    version: i64,
    spec: &str,
) -> Result<bool, Error> {
    without_nul([("spec", Some(spec))])?;
    let sql =
        "update clusters set spec = $4, version = version + 1 where id = $1 and fence = $2 and version = $3";
    Ok(write!(store, |pool| sqlx::query(sql)
        .bind(id)
        .bind(fence)
        .bind(version)
        .bind(spec)
        .execute(pool)
        .await?
        .rows_affected())
        > 0)
}

/// Brings the worker's next look at a cluster forward to `at_ms`.
pub async fn wake(store: &Store, id: &str, at_ms: i64) -> Result<(), Error> {
    let sql = "update clusters set next_run_ms = $2
               where id = $1 and (next_run_ms is null or next_run_ms > cast($2 as bigint))";
    write!(store, |pool| sqlx::query(sql).bind(id).bind(at_ms).execute(pool).await?.rows_affected());
    Ok(())
}

/// When the next cluster is due, in milliseconds since 1970, as far as nobody holds it.
pub async fn next_due_ms(store: &Store) -> Result<Option<i64>, Error> {
    let sql = "select min(case when lease_until_ms > next_run_ms then lease_until_ms else next_run_ms end) as due_ms
               from clusters where next_run_ms is not null";
    read!(store, |pool| Ok(sqlx::query_scalar(sql).fetch_one(pool).await?))
}

/// Removes a cluster that is claimed as `fence`; false when the claim is no longer the holder's.
pub async fn delete_claimed(store: &Store, id: &str, fence: i64) -> Result<bool, Error> {
    let sql = "delete from clusters where id = $1 and fence = $2";
    Ok(write!(store, |pool| sqlx::query(sql).bind(id).bind(fence).execute(pool).await?.rows_affected()) > 0)
}

/// Removes a cluster; false when there was none of that id.
pub async fn delete(store: &Store, id: &str) -> Result<bool, Error> {
    if id.contains('\0') {
        return Ok(false);
    }
    let sql = "delete from clusters where id = $1";
    Ok(write!(store, |pool| sqlx::query(sql).bind(id).execute(pool).await?.rows_affected()) > 0)
}
