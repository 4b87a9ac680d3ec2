//! Tokens on a separate database, with a clock that the test advances.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::*;
use crate::service::Error;
use crate::vault;

const START_MS: i64 = 1_000_000_000;

struct TestContext {
    tokens: Tokens,
    store: Store,
    clock: Clock,
    _directory: tempfile::TempDir,
}

async fn context() -> TestContext {
    let directory = tempfile::tempdir().expect("directory");
    let url = store::sqlite_url(&directory.path().join("aks.db"));
    let store = Store::connect(&url, &store::Options::default()).await.expect("open");
    store.migrate().await.expect("migrate");
    let clock = Clock::manual(START_MS);
    TestContext { tokens: Tokens::new(store.clone(), clock.clone()), store, clock, _directory: directory }
}

impl TestContext {
    async fn authenticate(&self, token: &SecretString) -> Result<Arc<Caller>, AuthError> {
        self.tokens.authenticate(token.expose_secret()).await
    }

    /// Another server on the same database.
    fn replica(&self) -> Tokens {
        Tokens::new(self.store.clone(), self.clock.clone())
    }
}

#[tokio::test]
async fn new_token_belongs_to_its_user_and_only_its_hash_is_stored() {
    let context = context().await;
    let token = context.tokens.create("ann", None, None, "for a script").await.expect("create");
    let caller = context.authenticate(&token.to_bearer()).await.expect("caller");
    assert_eq!((caller.user_name.as_str(), caller.admin), ("ann", false));
    assert_eq!(caller.token_name, token.name);
    assert!(caller.user_id.starts_with("user-"));

    let second = context.tokens.create("ann", None, None, "").await.expect("create");
    let again = context.authenticate(&second.to_bearer()).await.expect("caller");
    assert_eq!(again.user_id, caller.user_id, "one user per name");

    let (row, _) = store::tokens::find(&context.store, &token.name).await.expect("find").expect("row");
    assert!(!format!("{row:?} {token:?}").contains(token.secret.expose_secret()));
    assert_eq!(row.hash, vault::token_hash(token.secret.expose_secret()));
}

#[tokio::test]
async fn invalid_tokens_are_rejected_with_the_reason() {
    let context = context().await;
    let token = context.tokens.create("ann", None, Some(Duration::from_mins(1)), "").await.expect("create");
    let secret = token.secret.expose_secret();
    let auth_error = async |text: String| context.tokens.authenticate(&text).await.expect_err("rejected");

    assert!(matches!(auth_error("nonsense".to_owned()).await, AuthError::Malformed));
    assert!(
        matches!(auth_error(format!("other:{secret}")).await, AuthError::Unknown(name) if name == "other")
    );
    assert!(matches!(auth_error(format!("{}:x{secret}", token.name)).await, AuthError::WrongSecret(_)));
    assert!(matches!(
        auth_error(format!("{}:{}", token.name, &secret[1..])).await,
        AuthError::WrongSecret(_)
    ));
    for error in [AuthError::Malformed, auth_error(format!("{}:x", token.name)).await] {
        assert!(error.is_rejected() && !format!("{error} {error:?}").contains(secret));
    }

    context.authenticate(&token.to_bearer()).await.expect("still valid");
    context.clock.advance(Duration::from_mins(1));
    assert!(matches!(context.authenticate(&token.to_bearer()).await, Err(AuthError::Expired(_))));
}

#[tokio::test]
async fn cached_token_is_rejected_once_it_expires() {
    let context = context().await;
    let token = context.tokens.create("ann", None, Some(Duration::from_secs(1)), "").await.expect("create");
    context.clock.advance(Duration::from_millis(500));
    context.authenticate(&token.to_bearer()).await.expect("good");
    context.clock.advance(Duration::from_millis(500));
    assert!(matches!(context.authenticate(&token.to_bearer()).await, Err(AuthError::Expired(_))));
}

#[tokio::test]
async fn revocation_reaches_other_servers_within_two_seconds() {
    let context = context().await;
    let replica = context.replica();
    let token = context.tokens.create("ann", None, None, "").await.expect("create");
    let text = token.to_bearer();
    replica.authenticate(text.expose_secret()).await.expect("good");
    context.authenticate(&text).await.expect("good");

    assert!(context.tokens.revoke(&token.name).await.expect("revoke"));
    assert!(!context.tokens.revoke(&token.name).await.expect("revoke"), "already deleted");
    assert!(matches!(context.authenticate(&text).await, Err(AuthError::Unknown(_))));
    replica.authenticate(text.expose_secret()).await.expect("cached, without a query");
    context.clock.advance(Duration::from_millis(1_999));
    assert!(matches!(replica.authenticate(text.expose_secret()).await, Err(AuthError::Unknown(_))));
}

#[tokio::test]
async fn only_cached_tokens_work_without_the_database() {
    let context = context().await;
    let token = context.tokens.create("ann", None, None, "").await.expect("create");
    context.authenticate(&token.to_bearer()).await.expect("good");
    context.store.close().await;
    context.authenticate(&token.to_bearer()).await.expect("from the cache");
    context.clock.advance(Duration::from_secs(1));
    context.authenticate(&token.to_bearer()).await.expect("also for the caller that has to read it again");
    context.authenticate(&token.to_bearer()).await.expect("and for concurrent callers");
    context.clock.advance(Duration::from_secs(1));
    let error = context.authenticate(&token.to_bearer()).await.expect_err("no database");
    assert!(!error.is_rejected(), "{error}");
    assert!(matches!(error, AuthError::Store(cause) if cause.is_unavailable()));
}

#[tokio::test]
async fn bootstrap_token_is_set_at_each_start() {
    let context = context().await;
    let token = |text: &str| SecretString::from(text);
    context.tokens.ensure_bootstrap(&token("token-boot:first")).await.expect("set");
    let caller = context.authenticate(&token("token-boot:first")).await.expect("caller");
    assert!(caller.admin);

    context.tokens.ensure_bootstrap(&token("token-boot:second")).await.expect("set");
    assert!(matches!(context.authenticate(&token("token-boot:first")).await, Err(AuthError::WrongSecret(_))));
    context.authenticate(&token("token-boot:second")).await.expect("caller");

    context.tokens.ensure_bootstrap(&token("token-other:third")).await.expect("set");
    assert!(matches!(context.authenticate(&token("token-boot:second")).await, Err(AuthError::Unknown(_))));
    context.authenticate(&token("token-other:third")).await.expect("caller");

    let error = context.tokens.ensure_bootstrap(&token("canary")).await.expect_err("no token").to_string();
    assert!(error.contains("token-<name>:<secret>") && !error.contains("canary"), "{error}");
    assert!(context.tokens.create_first().await.expect("first").is_none(), "an administrator has a token");
}

#[tokio::test]
async fn only_the_first_start_creates_an_administrator_token() {
    let context = context().await;
    context.tokens.create("ann", None, None, "").await.expect("a token of an ordinary user is not enough");
    let first = context.tokens.create_first().await.expect("first").expect("a token");
    assert!(context.authenticate(&first.to_bearer()).await.expect("caller").admin);
    assert!(context.replica().create_first().await.expect("again").is_none());
    context.tokens.revoke(&first.name).await.expect("revoke");
    assert!(
        context.tokens.create_first().await.expect("again").is_none(),
        "a revoked token is not created again"
    );
}

#[tokio::test]
async fn role_change_applies_once_the_cached_token_is_too_old() {
    let context = context().await;
    let token = context.tokens.create("ann", None, None, "").await.expect("create");
    assert!(!context.authenticate(&token.to_bearer()).await.expect("caller").admin);
    context.tokens.create("ann", Some(true), None, "").await.expect("create");
    context.clock.advance(Duration::from_secs(2));
    assert!(context.authenticate(&token.to_bearer()).await.expect("caller").admin);
    context.tokens.create("ann", None, None, "").await.expect("create");
    context.clock.advance(Duration::from_secs(2));
    assert!(context.authenticate(&token.to_bearer()).await.expect("caller").admin, "not set: unchanged");
    // The last administrator cannot be demoted, so there must be another one.
    context.tokens.create("bob", Some(true), None, "").await.expect("create");
    context.tokens.create("ann", Some(false), None, "").await.expect("create");
    context.clock.advance(Duration::from_secs(2));
    assert!(!context.authenticate(&token.to_bearer()).await.expect("caller").admin);
}

#[tokio::test]
async fn list_shows_last_use_and_old_expired_tokens_are_deleted() {
    let context = context().await;
    let token =
        context.tokens.create("ann", None, Some(Duration::from_mins(1)), "words").await.expect("create");
    context.authenticate(&token.to_bearer()).await.expect("caller");
    let last_used_ms =
        async || context.tokens.list().await.expect("list").first().and_then(|info| info.last_used_ms);
    tokio::time::timeout(Duration::from_secs(5), async {
        while last_used_ms().await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the use is recorded");
    let list = context.tokens.list().await.expect("list");
    let expected = TokenInfo {
        name: token.name.clone(),
        user_id: list[0].user_id.clone(),
        user_name: "ann".to_owned(),
        admin: false,
        enabled: true,
        created_ms: START_MS,
        expires_ms: Some(START_MS + 60_000),
        last_used_ms: Some(START_MS),
        description: "words".to_owned(),
        cluster_id: None,
        metadata: Metadata::from_stored(BTreeMap::new(), BTreeMap::new()),
    };
    assert_eq!(list, [expected]);

    context.clock.advance(Duration::from_hours(24));
    assert_eq!(context.tokens.remove_expired().await.expect("remove"), 0);
    context.clock.advance(Duration::from_hours(7 * 24));
    assert_eq!(context.tokens.remove_expired().await.expect("remove"), 1);
}

#[tokio::test]
async fn invalid_user_names_and_descriptions_are_rejected() {
    let context = context().await;
    for name in ["", " ", "ann ", "a\nb", &"x".repeat(129)] {
        let error = context.tokens.create(name, None, None, "").await.expect_err(name);
        assert!(matches!(error, Error::Invalid(_)), "{name:?}: {error}");
    }
    assert!(context.tokens.create("ann", None, None, "\0").await.is_err());
    assert!(context.tokens.list().await.expect("list").is_empty());
}
