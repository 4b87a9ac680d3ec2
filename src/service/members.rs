//! Memberships: roles of users in clusters, Rancher's `clusterRoleTemplateBindings`. The creator of a cluster, or its new owner
//! after a handover, has a fixed membership without a row; cluster owners add the others. If a user has several memberships in
//! one cluster, the strongest role takes effect. Roles are defined in `aks::role`.

use std::collections::BTreeMap;
use std::sync::Arc;

use aks::ids;
use aks::role::Role;
use clock::Clock;

use super::actor::Actor;
use super::audit::{Action, AuditLog};
use super::base::Base;
use super::clusters::{Cluster, Clusters};
use super::credentials::Credentials;
use super::error::ForbiddenReason;
use super::fresh_id::insert_with_fresh_id;
use super::metadata::{Metadata, MetadataChange};
use super::{Caller, Error, Invalid, Result};
use crate::store::members::MemberUpdate;
use crate::store::{self, MemberRow, Store, UniqueConstraint};

/// The type of object in the audit log.
pub(super) const OBJECT_TYPE: &str = "clusterRoleTemplateBinding";

/// The name of the creator's membership, as in Rancher.
const CREATOR_MEMBERSHIP: &str = "creator-cluster-owner";

/// A membership in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `c-xxxxx:crtb-xxxxx`
    pub id: String,
    /// A UUID that is never reused; the creator's membership has none.
    pub uuid: Option<String>,
    /// The cluster.
    pub cluster_id: String,
    /// The user.
    pub user_id: String,
    /// The role.
    pub role: Role,
    /// Labels and annotations.
    pub metadata: Metadata,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Whether the caller may change or delete the membership.
    pub changeable: bool,
}

impl Member {
    /// The part of the ID after the cluster.
    pub fn name(&self) -> &str {
        self.id.split_once(':').map_or(self.id.as_str(), |(_, name)| name)
    }

    fn creator(cluster: &Cluster) -> Self {
        Self {
            id: format!("{}:{CREATOR_MEMBERSHIP}", cluster.id),
            uuid: None,
            cluster_id: cluster.id.clone(),
            user_id: cluster.owner.clone(),
            role: Role::Owner,
            metadata: Metadata::from_stored(BTreeMap::new(), BTreeMap::new()),
            created_ms: cluster.created_ms,
            changeable: false,
        }
    }

    fn from_row(row: MemberRow, caller_role: Role) -> Result<Self> {
        let message = || format!("there is no role {}", row.role);
        let role = Role::from_name(&row.role)
            .ok_or_else(|| Error::Corrupt { id: row.id.clone(), source: message().into() })?;
        Ok(Self {
            id: row.id,
            uuid: Some(row.uuid),
            cluster_id: row.cluster_id,
            user_id: row.user_id,
            role,
            metadata: Metadata::from_stored(row.labels, row.annotations),
            created_ms: row.created_ms,
            changeable: caller_role == Role::Owner,
        })
    }
}

/// Parameters of a new membership.
#[derive(Clone, Debug, Default)]
pub struct NewMember {
    /// The cluster.
    pub cluster_id: String,
    /// The user.
    pub user_id: String,
    /// `cluster-owner`, `cluster-member` or `read-only`.
    pub role: String,
    /// The name after the colon of the ID; generated if it is missing.
    pub name: Option<String>,
    /// Labels and annotations.
    pub metadata: MetadataChange,
}

/// A change of a membership. Its cluster and user cannot be changed, but requests may contain them.
#[derive(Clone, Debug, Default)]
pub struct MemberChange {
    /// The cluster, if the request contains it.
    pub cluster_id: Option<String>,
    /// The user, if the request contains it.
    pub user_id: Option<String>,
    /// The role, if the request contains it.
    pub role: Option<String>,
    /// Labels and annotations.
    pub metadata: MetadataChange,
}

/// The memberships of a database. Clones share everything.
#[derive(Clone)]
pub struct Members {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clusters: Clusters,
    credentials: Credentials,
    audit_log: AuditLog,
    clock: Clock,
}

impl Members {
    /// The memberships of this database.
    pub fn new(base: &Base, clusters: Clusters, credentials: Credentials) -> Self {
        let Base { store, audit_log, clock, .. } = base.clone();
        Self { inner: Arc::new(Inner { store, clusters, credentials, audit_log, clock }) }
    }

    /// The memberships in all clusters that the caller sees.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Member>> {
        let rows = store::members::list(&self.inner.store, None, None).await?;
        let mut members = Vec::new();
        for (cluster, role) in self.inner.clusters.list_with_roles(caller).await? {
            members.push(Member::creator(&cluster));
            for row in rows.iter().filter(|row| row.cluster_id == cluster.id) {
                members.push(Member::from_row(row.clone(), role)?);
            }
        }
        Ok(members)
    }

    /// A membership by its ID.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Member> {
        let (cluster, role, name) = self.inner.clusters.get_for_part(caller, id).await?;
        if name == CREATOR_MEMBERSHIP {
            return Ok(Member::creator(&cluster));
        }
        Member::from_row(self.row(id).await?, role)
    }

    /// Adds a user to a cluster.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the caller owns the cluster, [`Error::Invalid`] for an unknown role or user,
    /// [`Error::Exists`] if the name is taken.
    pub async fn create(&self, by: &Actor, new: NewMember) -> Result<Member> {
        let result = self.insert(by, &new).await;
        self.inner.credentials.invalidate_resolved();
        self.inner.audit_log.record_failure(by, Action::Create, OBJECT_TYPE, &new.cluster_id, result).await
    }

    async fn insert(&self, by: &Actor, new: &NewMember) -> Result<Member> {
        let role = parse_role(&new.role)?;
        if new.cluster_id.is_empty() {
            let message = "set clusterId: a membership belongs to one cluster";
            return Err(Invalid::field("MissingRequired", "clusterId", message).into());
        }
        if new.user_id.is_empty() {
            let message = "set userId, or userPrincipalId as local://<userId>";
            return Err(Invalid::field("MissingRequired", "userId", message).into());
        }
        let cluster =
            self.owned_cluster(&by.caller, &new.cluster_id).await.map_err(Error::into_reference_error)?;
        if let Some(name) = &new.name {
            check_name(name)?;
        }
        if store::users::get(&self.inner.store, &new.user_id).await?.is_none() {
            return Err(user_not_found(&new.user_id));
        }
        let metadata = new.metadata.merged_into(Metadata::default())?;
        let row = MemberRow {
            id: String::new(),
            uuid: uuid::Uuid::new_v4().to_string(),
            cluster_id: cluster.id,
            user_id: new.user_id.clone(),
            role: role.name().to_owned(),
            labels: metadata.labels,
            annotations: metadata.annotations,
            created_ms: self.inner.clock.now_ms(),
        };
        let Some(name) = &new.name else {
            return insert_with_fresh_id("crtb-", |name| self.insert_row(by, row.clone(), name)).await;
        };
        let id = format!("{}:{name}", row.cluster_id);
        self.insert_row(by, row, name.clone()).await.map_err(|error| match error {
            Error::Store(store::Error::Duplicate { what: UniqueConstraint::MemberId }) => {
                Error::Exists { id }
            }
            error => error,
        })
    }

    async fn insert_row(&self, by: &Actor, row: MemberRow, name: String) -> Result<Member> {
        let row = MemberRow { id: format!("{}:{name}", row.cluster_id), ..row };
        let audit = by.audit(Action::Create, OBJECT_TYPE, &row.id, row.created_ms);
        match store::members::insert(&self.inner.store, &row, &audit).await {
            Ok(()) => Member::from_row(row, Role::Owner),
            // The user or the cluster was removed concurrently.
            Err(store::Error::Dangling { .. }) => Err(user_not_found(&row.user_id)),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes a membership.
    ///
    /// # Errors
    /// As [`Members::create`]; cluster and user cannot be changed.
    pub async fn update(&self, by: &Actor, id: &str, change: MemberChange) -> Result<Member> {
        let result = self.try_update(by, id, change).await;
        self.inner.credentials.invalidate_resolved();
        self.inner.audit_log.record_failure(by, Action::Update, OBJECT_TYPE, id, result).await
    }

    async fn try_update(&self, by: &Actor, id: &str, change: MemberChange) -> Result<Member> {
        let mut member = self.changeable_member(&by.caller, id).await?;
        for (field, requested, current) in [
            ("clusterId", change.cluster_id, &member.cluster_id),
            ("userId", change.user_id, &member.user_id),
        ] {
            if requested.is_some_and(|requested| requested != *current) {
                let message =
                    format!("{field} is {current} and cannot be changed: create another binding instead");
                return Err(Invalid::field("InvalidOption", field, message).into());
            }
        }
        let new_role = change.role.as_deref().map(parse_role).transpose()?;
        member.role = new_role.unwrap_or(member.role);
        let old = std::mem::take(&mut member.metadata);
        member.metadata = change.metadata.merged_into(old.clone())?;
        let new = &member.metadata;
        // Write only what changes, so that a concurrent change of the role is not undone.
        let update = MemberUpdate {
            role: new_role.map(Role::name),
            labels: (old.labels != new.labels).then_some(&new.labels),
            annotations: (old.annotations != new.annotations).then_some(&new.annotations),
        };
        let audit = by.audit(Action::Update, OBJECT_TYPE, id, self.inner.clock.now_ms());
        if store::members::update(&self.inner.store, id, update, &audit).await? {
            return Ok(member);
        }
        Err(Error::NotFound { id: id.to_owned() })
    }

    /// Deletes a membership; returns it.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the caller owns the cluster, and for the creator's membership.
    pub async fn delete(&self, by: &Actor, id: &str) -> Result<Member> {
        let result = self.remove(by, id).await;
        self.inner.credentials.invalidate_resolved();
        self.inner.audit_log.record_failure(by, Action::Delete, OBJECT_TYPE, id, result).await
    }

    async fn remove(&self, by: &Actor, id: &str) -> Result<Member> {
        let member = self.changeable_member(&by.caller, id).await?;
        let audit = by.audit(Action::Delete, OBJECT_TYPE, id, self.inner.clock.now_ms());
        if store::members::delete(&self.inner.store, id, &audit).await? {
            return Ok(member);
        }
        Err(Error::NotFound { id: id.to_owned() })
    }

    async fn changeable_member(&self, caller: &Caller, id: &str) -> Result<Member> {
        let member = self.get(caller, id).await?;
        if member.changeable {
            return Ok(member);
        }
        Err(Error::Forbidden(if member.name() == CREATOR_MEMBERSHIP {
            ForbiddenReason::CreatorStaysOwner { user_id: member.user_id }
        } else {
            ForbiddenReason::ChangeMembers { cluster_id: member.cluster_id, role: None }
        }))
    }

    async fn owned_cluster(&self, caller: &Caller, cluster_id: &str) -> Result<Cluster> {
        match self.inner.clusters.with_role(caller, cluster_id).await? {
            (cluster, Role::Owner) => Ok(cluster),
            (cluster, role) => Err(Error::Forbidden(ForbiddenReason::ChangeMembers {
                cluster_id: cluster.id,
                role: Some(role),
            })),
        }
    }

    async fn row(&self, id: &str) -> Result<MemberRow> {
        let row = store::members::get(&self.inner.store, id).await?;
        row.ok_or_else(|| Error::NotFound { id: id.to_owned() })
    }
}

fn parse_role(name: &str) -> Result<Role> {
    Role::from_name(name).ok_or_else(|| {
        let names = Role::ALL.map(Role::name).join(", ");
        Invalid::field("InvalidOption", "roleTemplateId", format!("roleTemplateId must be one of {names}"))
            .into()
    })
}

fn check_name(name: &str) -> Result<()> {
    if ids::is_dns_label(name) && name != CREATOR_MEMBERSHIP {
        return Ok(());
    }
    Err(Invalid::name().into())
}

fn user_not_found(id: &str) -> Error {
    let message = format!("user {id} not found: userId is an ID that /v3/users lists, such as user-5tb7c");
    Invalid::field("InvalidReference", "userId", message).into()
}
