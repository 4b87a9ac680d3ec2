//! API tokens: who is calling, and making, listing and revoking tokens. Where a token stands in a request is known in
//! `api`; how it is hashed, in `vault`.

mod authenticate;
mod startup;
mod ttl;

use std::sync::Arc;
use std::time::Duration;

use aks::ids;
use aks::plain_text::{self, Lines};
use clock::Clock;
use moka::sync::Cache;
use secrecy::{ExposeSecret as _, SecretString};

use super::actor::Actor;
use super::events::Action;
use super::metadata::Metadata;
use super::users::{self, last_administrator};
use super::{Caller, Error, Invalid, Result};
use crate::store::users::Ensured;
use crate::store::{self, AuditRow, Store, TokenRow, Unique, UserRow};
use crate::vault;

pub use authenticate::AuthError;
pub use ttl::{BadTtl, parse_ttl};

/// The kind of object in the audit.
pub(super) const OBJECT: &str = "token";

/// The user that the bootstrap token and the token of the first start belong to.
pub const ADMINISTRATOR: &str = "admin";

/// How many tokens are remembered at most. One entry is about 300 bytes.
const REMEMBERED: u64 = 10_000;

/// The longest name of a user, in characters.
const LONGEST_USER_NAME: usize = 128;

/// How often a name is drawn anew when it is taken: there are 14 million of them.
const DRAWS: usize = 5;

/// Authentication and administration of tokens. Clones share everything.
#[derive(Clone)]
pub struct Tokens {
    parts: Arc<Parts>,
}

struct Parts {
    store: Store,
    clock: Clock,
    /// By the hash of the whole token.
    known: Cache<[u8; 32], Arc<authenticate::Known>>,
}

/// A token that was just made: the only moment at which its secret half is known.
#[derive(Debug)]
pub struct NewToken {
    /// The public half, `token-xxxxx`.
    pub name: String,
    /// The secret half.
    pub secret: SecretString,
    /// Milliseconds since 1970; `None` never expires.
    pub expires_ms: Option<i64>,
}

impl NewToken {
    /// What a caller presents: `<name>:<secret>`.
    pub fn text(&self) -> SecretString {
        SecretString::from(format!("{}:{}", self.name, self.secret.expose_secret()))
    }
}

/// What may be told about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// The public half.
    pub name: String,
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub user_name: String,
    /// Whether the user is an administrator.
    pub admin: bool,
    /// Whether the user is enabled; tokens of disabled users are refused.
    pub enabled: bool,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970; `None` never expires.
    pub expires_ms: Option<i64>,
    /// Milliseconds since 1970, to the minute; `None` when never used.
    pub last_used_ms: Option<i64>,
    /// Its maker's words; may be empty.
    pub description: String,
    /// The one cluster that it is good for; `None` for everything that its user may do.
    pub cluster_id: Option<String>,
    /// Labels and annotations.
    pub metadata: Metadata,
}

impl TokenInfo {
    fn is_good(&self, now_ms: i64) -> bool {
        self.enabled && self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

impl From<(TokenRow, UserRow)> for TokenInfo {
    fn from((token, user): (TokenRow, UserRow)) -> Self {
        Self {
            name: token.name,
            user_id: user.id,
            user_name: user.name,
            admin: user.admin,
            enabled: user.enabled,
            created_ms: token.created_ms,
            expires_ms: token.expires_ms,
            last_used_ms: token.last_used_ms,
            description: token.description,
            cluster_id: token.cluster_id,
            metadata: Metadata::stored(token.labels, token.annotations),
        }
    }
}

/// What a token is made with.
#[derive(Clone, Debug)]
pub(super) struct TokenSpec<'a> {
    /// The start of its name.
    pub(super) prefix: &'a str,
    /// How long it is good; `None` for ever.
    pub(super) ttl: Option<Duration>,
    /// Its maker's words; may be empty.
    pub(super) description: &'a str,
    /// The one cluster that it is to be good for.
    pub(super) cluster_id: Option<&'a str>,
    /// Labels and annotations.
    pub(super) metadata: Metadata,
}

impl Tokens {
    /// The tokens of this database.
    pub fn new(store: Store, clock: Clock) -> Self {
        let known = Cache::builder().max_capacity(REMEMBERED).build();
        Self { parts: Arc::new(Parts { store, clock, known }) }
    }

    /// Who presents `<name>:<secret>`. A token that was right less than a second and a half ago is taken from memory;
    /// so a revoked one is refused by every server within two seconds.
    ///
    /// # Errors
    /// See [`AuthError`]: refusals, and a database that cannot be asked.
    pub async fn authenticate(&self, presented: &str) -> Result<Arc<Caller>, AuthError> {
        authenticate::authenticate(&self.parts, presented).await
    }

    /// Makes a token for the user of that name, and the user if need be, on behalf of the command line. With `admin` given,
    /// the user becomes or stops being an administrator; otherwise an existing user keeps its role, and a new one is an
    /// ordinary one.
    ///
    /// # Errors
    /// [`super::Error::Invalid`] for an unusable user name or description, for a disabled user, and for the last enabled
    /// administrator who is to be an ordinary user.
    pub async fn create(
        &self,
        user_name: &str,
        admin: Option<bool>,
        ttl: Option<Duration>,
        description: &str,
    ) -> Result<NewToken> {
        self.create_as(&Actor::command_line(), user_name, admin, ttl, description).await
    }

    async fn create_as(
        &self,
        by: &Actor,
        user_name: &str,
        admin: Option<bool>,
        ttl: Option<Duration>,
        description: &str,
    ) -> Result<NewToken> {
        check_user_name(user_name)?;
        check_description(description)?;
        let user = self.user(by, user_name, admin).await?;
        let spec =
            TokenSpec { prefix: "token-", ttl, description, cluster_id: None, metadata: Metadata::default() };
        let audit = |name: &str, now_ms| {
            let event = by.event(Action::Create, OBJECT, name, &Ok(()));
            event.detail(&format!("for the user {user_name}")).into_row(now_ms)
        };
        self.add(&user.id, &spec, None, audit).await
    }

    /// Whether the user of that name is an administrator; `None` when there is nobody of that name.
    pub async fn is_administrator(&self, user_name: &str) -> Result<Option<bool>> {
        let users = store::users::list(&self.parts.store).await?;
        Ok(users.into_iter().find(|user| user.name == user_name).map(|user| user.admin))
    }

    /// Makes a token for the user of that id, as long as the token `made_with` exists. `audit` makes the audit record from
    /// the new token's name and the time.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unusable description; [`store::Error::Dangling`] when there is no such user or cluster.
    async fn add(
        &self,
        user_id: &str,
        spec: &TokenSpec<'_>,
        made_with: Option<&str>,
        audit: impl Fn(&str, i64) -> AuditRow,
    ) -> Result<NewToken> {
        check_description(spec.description)?;
        let now = self.parts.clock.now_ms();
        let expires_ms =
            spec.ttl.map(|ttl| now.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)));
        for _ in 0..DRAWS {
            let name = ids::generated(spec.prefix, vault::random());
            let secret = SecretString::from(ids::token_secret(vault::random()));
            let row = TokenRow {
                name: name.clone(),
                user_id: user_id.to_owned(),
                hash: vault::token_hash(secret.expose_secret()).to_vec(),
                created_ms: now,
                expires_ms,
                last_used_ms: None,
                description: spec.description.to_owned(),
                cluster_id: spec.cluster_id.map(str::to_owned),
                labels: spec.metadata.labels.clone(),
                annotations: spec.metadata.annotations.clone(),
            };
            match store::tokens::insert(&self.parts.store, &row, made_with, &audit(&name, now)).await {
                Err(store::Error::Duplicate { .. }) => {}
                Err(store::Error::Conflict { .. }) => return Err(ended()),
                outcome => return Ok(outcome.map(|()| NewToken { name, secret, expires_ms })?),
            }
        }
        Err(store::Error::Duplicate { what: Unique::TokenName }.into())
    }

    /// Makes a token for the caller, which does not outlive the one that he calls with: what is stolen ends when it should.
    ///
    /// # Errors
    /// As [`Self::add`]; [`Error::Forbidden`] when the caller's own token has ended meanwhile.
    pub(super) async fn add_by(
        &self,
        caller: &Caller,
        spec: &TokenSpec<'_>,
        audit: impl Fn(&str, i64) -> AuditRow,
    ) -> Result<NewToken> {
        let own = self.find(&caller.user_id, &caller.token_name).await?.ok_or_else(ended)?;
        let left = own.expires_ms.map(|end| end.saturating_sub(self.parts.clock.now_ms()));
        let left = left.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
        let ttl = [left, spec.ttl].into_iter().flatten().min();
        self.add(&caller.user_id, &TokenSpec { ttl, ..spec.clone() }, Some(&own.name), audit).await
    }

    /// All tokens, oldest first.
    pub async fn list(&self) -> Result<Vec<TokenInfo>> {
        let tokens = store::tokens::list(&self.parts.store, None).await?;
        Ok(tokens.into_iter().map(TokenInfo::from).collect())
    }

    /// The tokens of a user (an id) that are good, oldest first.
    pub(super) async fn of_user(&self, user_id: &str) -> Result<Vec<TokenInfo>> {
        let now = self.parts.clock.now_ms();
        let tokens = store::tokens::list(&self.parts.store, Some(user_id)).await?.into_iter();
        Ok(tokens.map(TokenInfo::from).filter(|token| token.is_good(now)).collect())
    }

    /// A user's token of that name, while it is good.
    pub(super) async fn find(&self, user_id: &str, name: &str) -> Result<Option<TokenInfo>> {
        let now = self.parts.clock.now_ms();
        let found = store::tokens::find(&self.parts.store, name).await?.map(TokenInfo::from);
        Ok(found.filter(|token| token.user_id == user_id && token.is_good(now)))
    }

    /// The caller as he is by now; `None` when the token that he came with is good no more.
    pub(super) async fn as_of_now(&self, caller: &Caller) -> Result<Option<Caller>> {
        let found = self.find(&caller.user_id, &caller.token_name).await?;
        Ok(found.map(|token| Caller { admin: token.admin, ..caller.clone() }))
    }

    /// Revokes the token of that name on behalf of the command line: in this server at once, in every other one within two
    /// seconds. False when there was none.
    pub async fn revoke(&self, name: &str) -> Result<bool> {
        self.revoke_as(&Actor::command_line(), name).await
    }

    /// As [`Self::revoke`], on behalf of a caller.
    pub(super) async fn revoke_as(&self, by: &Actor, name: &str) -> Result<bool> {
        let audit = by.audit(Action::Delete, OBJECT, name, self.parts.clock.now_ms());
        let removed = store::tokens::delete(&self.parts.store, name, &audit).await?;
        self.parts.known.invalidate_all();
        Ok(removed)
    }

    /// Forgets which tokens were accepted, because users changed.
    pub(super) fn forget_callers(&self) {
        self.parts.known.invalidate_all();
    }

    /// Removes tokens that expired more than a week ago; returns how many. Until then they can still be seen in the list.
    pub async fn remove_expired(&self) -> Result<u64> {
        const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;
        let before = self.parts.clock.now_ms().saturating_sub(WEEK_MS);
        Ok(store::tokens::delete_expired(&self.parts.store, before).await?)
    }

    async fn user(&self, by: &Actor, name: &str, admin: Option<bool>) -> Result<UserRow> {
        let now_ms = self.parts.clock.now_ms();
        for _ in 0..DRAWS {
            let new = UserRow {
                id: ids::generated("user-", vault::random()),
                name: name.to_owned(),
                admin: false,
                enabled: true,
                created_ms: now_ms,
            };
            let audit = |ensured: &Ensured| {
                let (Ensured::Created(user) | Ensured::Changed(user) | Ensured::Unchanged(user)) = ensured;
                let action =
                    if matches!(ensured, Ensured::Created(_)) { Action::Create } else { Action::Update };
                let role = if user.admin { "an administrator" } else { "an ordinary user" };
                let detail = format!("{} is {role}", user.name);
                by.event(action, users::OBJECT, &user.id, &Ok(())).detail(&detail).into_row(now_ms)
            };
            match store::users::ensure(&self.parts.store, &new, admin, audit).await {
                Err(store::Error::Duplicate { .. } | store::Error::Conflict { .. }) => {}
                Err(store::Error::Disabled { .. }) => return Err(disabled(name)),
                Err(store::Error::LastAdministrator) => return Err(last_administrator(name)),
                outcome => {
                    let (Ensured::Created(user) | Ensured::Changed(user) | Ensured::Unchanged(user)) =
                        outcome?;
                    return Ok(user);
                }
            }
        }
        Err(store::Error::Duplicate { what: Unique::UserId }.into())
    }
}

fn disabled(name: &str) -> Error {
    let message = format!("{name} is disabled; enable the user first with `norman-aks user enable {name}`");
    Invalid::field("InvalidState", "user", message).into()
}

fn ended() -> Error {
    Error::Forbidden("the token of this request has ended; log in again".to_owned())
}

fn check_user_name(user_name: &str) -> Result<()> {
    if user_name.trim().is_empty() || user_name.trim() != user_name {
        let message = "a user name must not be empty nor begin or end with a blank";
        return Err(Invalid::field("InvalidFormat", "user", message).into());
    }
    if user_name.chars().count() > LONGEST_USER_NAME {
        let message = format!("a user name has at most {LONGEST_USER_NAME} characters");
        return Err(Invalid::field("InvalidFormat", "user", message).into());
    }
    Ok(plain_text::check("user", user_name, Lines::One)?)
}

fn check_description(description: &str) -> Result<()> {
    if description.chars().count() > 1024 {
        let message = "a description has at most 1024 characters";
        return Err(Invalid::field("InvalidFormat", "description", message).into());
    }
    Ok(plain_text::check("description", description, Lines::One)?)
}

#[cfg(test)]
mod tests;
