//! Creating tokens, and users with their first token.

use std::time::Duration;

use aks::plain_text::{self, Lines};

use super::{OBJECT_TYPE, PlainToken, Tokens};
use crate::service::actor::Actor;
use crate::service::audit::Action;
use crate::service::error::ForbiddenReason;
use crate::service::fresh_id::insert_with_fresh_id;
use crate::service::metadata::Metadata;
use crate::service::users::{self, last_administrator_error};
use crate::service::{Caller, Error, Invalid, Result};
use crate::store::users::Ensured;
use crate::store::{self, AuditRow, TokenRow, UniqueConstraint, UserRow};

/// The maximum length of a user name, in characters.
const MAX_USER_NAME_LEN: usize = 128;

/// The maximum length of a description, in characters.
const MAX_DESCRIPTION_LEN: usize = 1_024;

/// Parameters of a new token.
#[derive(Clone, Debug)]
pub(in crate::service) struct TokenSpec<'a> {
    /// The prefix of the token's name.
    pub(in crate::service) prefix: &'a str,
    /// The time to live; `None` if it does not expire.
    pub(in crate::service) ttl: Option<Duration>,
    /// The description; may be empty.
    pub(in crate::service) description: &'a str,
    /// Restricts the token to one cluster.
    pub(in crate::service) cluster_id: Option<&'a str>,
    /// Labels and annotations.
    pub(in crate::service) metadata: Metadata,
}

impl Tokens {
    /// Creates a token for the named user, and the user if it does not exist, on behalf of the command line. `admin` makes
    /// the user an administrator or an ordinary user; without it, an existing user keeps its role, and a new user is an ordinary
    /// one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an invalid user name or description, for a disabled user, and if the last enabled administrator
    /// would become an ordinary user.
    pub async fn create(
        &self,
        user_name: &str,
        admin: Option<bool>,
        ttl: Option<Duration>,
        description: &str,
    ) -> Result<PlainToken> {
        self.create_as(&Actor::command_line(), user_name, admin, ttl, description).await
    }

    pub(super) async fn create_as(
        &self,
        by: &Actor,
        user_name: &str,
        admin: Option<bool>,
        ttl: Option<Duration>,
        description: &str,
    ) -> Result<PlainToken> {
        check_user_name(user_name)?;
        check_description(description)?;
        let user = self.ensure_user(by, user_name, admin).await?;
        let spec =
            TokenSpec { prefix: "token-", ttl, description, cluster_id: None, metadata: Metadata::default() };
        let audit = |name: &str, now_ms| {
            let detail = format!("for the user {user_name}");
            by.audit_with_detail(Action::Create, OBJECT_TYPE, name, &detail, now_ms)
        };
        self.insert(&user.id, &spec, None, audit).await
    }

    /// Creates a token for the caller. It expires no later than the caller's own token, so that access with a stolen token ends
    /// when that token expires. `audit` creates the audit record from the new token's name and the time.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an invalid description, [`Error::Forbidden`] if the caller's own token has expired or was
    /// revoked, [`store::Error::Dangling`] if the cluster does not exist.
    pub(in crate::service) async fn create_for_caller(
        &self,
        caller: &Caller,
        spec: &TokenSpec<'_>,
        audit: impl Fn(&str, i64) -> AuditRow,
    ) -> Result<PlainToken> {
        let own_token = self.find(&caller.user_id, &caller.token_name).await?;
        let own_token = own_token.ok_or(Error::Forbidden(ForbiddenReason::TokenEnded))?;
        let remaining_ms =
            own_token.expires_ms.map(|expires_ms| expires_ms.saturating_sub(self.inner.clock.now_ms()));
        let remaining = remaining_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
        let ttl = [remaining, spec.ttl].into_iter().flatten().min();
        self.insert(&caller.user_id, &TokenSpec { ttl, ..spec.clone() }, Some(&own_token.name), audit).await
    }

    /// Stores a new token. If `created_with` names the token that authenticated the request, that token must still exist.
    async fn insert(
        &self,
        user_id: &str,
        spec: &TokenSpec<'_>,
        created_with: Option<&str>,
        audit: impl Fn(&str, i64) -> AuditRow,
    ) -> Result<PlainToken> {
        check_description(spec.description)?;
        let now_ms = self.inner.clock.now_ms();
        let ttl_ms = |ttl: Duration| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        insert_with_fresh_id(spec.prefix, |name| {
            let token = PlainToken::generate(name);
            let audit = audit(&token.name, now_ms);
            let row = TokenRow {
                name: token.name.clone(),
                user_id: user_id.to_owned(),
                hash: token.hash().to_vec(),
                created_ms: now_ms,
                expires_ms: spec.ttl.map(|ttl| now_ms.saturating_add(ttl_ms(ttl))),
                description: spec.description.to_owned(),
                cluster_id: spec.cluster_id.map(str::to_owned),
                labels: spec.metadata.labels.clone(),
                annotations: spec.metadata.annotations.clone(),
                ..TokenRow::default()
            };
            async move {
                match store::tokens::insert(&self.inner.store, &row, created_with, &audit).await {
                    Ok(()) => Ok(token),
                    Err(store::Error::Conflict { .. }) => Err(Error::Forbidden(ForbiddenReason::TokenEnded)),
                    Err(error) => Err(error.into()),
                }
            }
        })
        .await
    }

    /// The named user; creates it if it does not exist. `admin` is as for [`Self::create`].
    pub(super) async fn ensure_user(&self, by: &Actor, name: &str, admin: Option<bool>) -> Result<UserRow> {
        let now_ms = self.inner.clock.now_ms();
        insert_with_fresh_id("user-", |id| {
            let new_user =
                UserRow { id, name: name.to_owned(), admin: false, enabled: true, created_ms: now_ms };
            let audit = move |ensured: &Ensured| {
                let user = ensured.user();
                let action =
                    if matches!(ensured, Ensured::Created(_)) { Action::Create } else { Action::Update };
                let role = if user.admin { "an administrator" } else { "an ordinary user" };
                let detail = format!("{} is {role}", user.name);
                by.audit_with_detail(action, users::OBJECT_TYPE, &user.id, &detail, now_ms)
            };
            async move {
                let ensured = store::users::ensure(&self.inner.store, &new_user, admin, audit).await;
                ensured.map(Ensured::into_user).map_err(|error| match error {
                    // The user was removed concurrently, and can be created now.
                    store::Error::Conflict { .. } => {
                        store::Error::Duplicate { what: UniqueConstraint::UserId }.into()
                    }
                    store::Error::Disabled { .. } => disabled_user_error(name),
                    store::Error::LastAdministrator => last_administrator_error(name),
                    error => error.into(),
                })
            }
        })
        .await
    }
}

fn disabled_user_error(name: &str) -> Error {
    let message = format!("{name} is disabled; enable the user first with `norman-aks user enable {name}`");
    Invalid::field("InvalidState", "user", message).into()
}

fn check_user_name(user_name: &str) -> Result<()> {
    if user_name.trim().is_empty() || user_name.trim() != user_name {
        let message = "a user name must not be empty, and must not start or end with whitespace";
        return Err(Invalid::field("InvalidFormat", "user", message).into());
    }
    if user_name.chars().count() > MAX_USER_NAME_LEN {
        let message = format!("a user name has at most {MAX_USER_NAME_LEN} characters");
        return Err(Invalid::field("InvalidFormat", "user", message).into());
    }
    Ok(plain_text::check("user", user_name, Lines::One)?)
}

fn check_description(description: &str) -> Result<()> {
    if description.chars().count() > MAX_DESCRIPTION_LEN {
        let message = format!("a description has at most {MAX_DESCRIPTION_LEN} characters");
        return Err(Invalid::field("InvalidFormat", "description", message).into());
    }
    Ok(plain_text::check("description", description, Lines::One)?)
}
