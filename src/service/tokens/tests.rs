//! Tokens against a database of their own, with a clock that the test moves.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::*;
use crate::service::Error;
use crate::vault;

const START_MS: i64 = 1_000_000_000;

struct Bench {
    tokens: Tokens,
    store: Store,
    clock: Clock,
    _folder: tempfile::TempDir,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("folder");
    let url = store::sqlite_url(&folder.path().join("aks.db"));
    let store = Store::connect(&url, &store::Options::default()).await.expect("open");
    store.migrate().await.expect("migrate");
    let clock = Clock::manual(START_MS);
    Bench { tokens: Tokens::new(store.clone(), clock.clone()), store, clock, _folder: folder }
}

impl Bench {
    async fn caller(&self, text: &SecretString) -> Result<Arc<Caller>, AuthError> {
        self.tokens.authenticate(text.expose_secret()).await
    }

    /// A server of its own on the same database.
    fn replica(&self) -> Tokens {
        Tokens::new(self.store.clone(), self.clock.clone())
    }
}

#[tokio::test]
async fn a_new_token_is_its_users_and_nothing_of_it_is_stored_in_clear() {
    let bench = bench().await;
    let token = bench.tokens.create("ann", None, None, "for a script").await.expect("create");
    let caller = bench.caller(&token.to_bearer()).await.expect("caller");
    assert_eq!((caller.user_name.as_str(), caller.admin), ("ann", false));
    assert_eq!(caller.token_name, token.name);
    assert!(caller.user_id.starts_with("user-"));

    let second = bench.tokens.create("ann", None, None, "").await.expect("create");
    let again = bench.caller(&second.to_bearer()).await.expect("caller");
    assert_eq!(again.user_id, caller.user_id, "one user of a name");

    let (row, _) = store::tokens::find(&bench.store, &token.name).await.expect("find").expect("row");
    assert!(!format!("{row:?} {token:?}").contains(token.secret.expose_secret()));
    assert_eq!(row.hash, vault::token_hash(token.secret.expose_secret()));
}

#[tokio::test]
async fn every_kind_of_wrong_token_is_refused() {
    let bench = bench().await;
    let token = bench.tokens.create("ann", None, Some(Duration::from_mins(1)), "").await.expect("create");
    let secret = token.secret.expose_secret();
    let refusal = async |text: String| bench.tokens.authenticate(&text).await.expect_err("refused");

    assert!(matches!(refusal("nonsense".to_owned()).await, AuthError::Malformed));
    assert!(matches!(refusal(format!("other:{secret}")).await, AuthError::Unknown(name) if name == "other"));
    assert!(matches!(refusal(format!("{}:x{secret}", token.name)).await, AuthError::WrongSecret(_)));
    assert!(matches!(refusal(format!("{}:{}", token.name, &secret[1..])).await, AuthError::WrongSecret(_)));
    for error in [AuthError::Malformed, refusal(format!("{}:x", token.name)).await] {
        assert!(error.is_refusal() && !format!("{error} {error:?}").contains(secret));
    }

    bench.caller(&token.to_bearer()).await.expect("still good");
    bench.clock.advance(Duration::from_mins(1));
    assert!(matches!(bench.caller(&token.to_bearer()).await, Err(AuthError::Expired(_))));
}

#[tokio::test]
async fn a_token_that_expires_while_it_is_remembered_is_refused_on_time() {
    let bench = bench().await;
    let token = bench.tokens.create("ann", None, Some(Duration::from_secs(1)), "").await.expect("create");
    bench.clock.advance(Duration::from_millis(500));
    bench.caller(&token.to_bearer()).await.expect("good");
    bench.clock.advance(Duration::from_millis(500));
    assert!(matches!(bench.caller(&token.to_bearer()).await, Err(AuthError::Expired(_))));
}

#[tokio::test]
async fn a_revoke_holds_at_once_here_and_within_two_seconds_in_other_servers() {
    let bench = bench().await;
    let other = bench.replica();
    let token = bench.tokens.create("ann", None, None, "").await.expect("create");
    let text = token.to_bearer();
    other.authenticate(text.expose_secret()).await.expect("good");
    bench.caller(&text).await.expect("good");

    assert!(bench.tokens.revoke(&token.name).await.expect("revoke"));
    assert!(!bench.tokens.revoke(&token.name).await.expect("revoke"), "gone already");
    assert!(matches!(bench.caller(&text).await, Err(AuthError::Unknown(_))));
    other.authenticate(text.expose_secret()).await.expect("remembered, without asking the database");
    bench.clock.advance(Duration::from_millis(1_999));
    assert!(matches!(other.authenticate(text.expose_secret()).await, Err(AuthError::Unknown(_))));
}

#[tokio::test]
async fn a_remembered_token_needs_no_database_and_an_unknown_one_fails_as_unavailable_without_it() {
    let bench = bench().await;
    let token = bench.tokens.create("ann", None, None, "").await.expect("create");
    bench.caller(&token.to_bearer()).await.expect("good");
    bench.store.close().await;
    bench.caller(&token.to_bearer()).await.expect("from memory");
    bench.clock.advance(Duration::from_secs(1));
    bench.caller(&token.to_bearer()).await.expect("also the one who goes to renew it");
    bench.caller(&token.to_bearer()).await.expect("and those who come meanwhile");
    bench.clock.advance(Duration::from_secs(1));
    let error = bench.caller(&token.to_bearer()).await.expect_err("no database");
    assert!(!error.is_refusal(), "{error}");
    assert!(matches!(error, AuthError::Store(cause) if cause.is_unavailable()));
}

#[tokio::test]
async fn the_bootstrap_token_is_set_anew_at_each_start() {
    let bench = bench().await;
    let text = |text: &str| SecretString::from(text);
    bench.tokens.ensure_bootstrap(&text("token-boot:first")).await.expect("set");
    let caller = bench.caller(&text("token-boot:first")).await.expect("caller");
    assert!(caller.admin);

    bench.tokens.ensure_bootstrap(&text("token-boot:second")).await.expect("set");
    assert!(matches!(bench.caller(&text("token-boot:first")).await, Err(AuthError::WrongSecret(_))));
    bench.caller(&text("token-boot:second")).await.expect("caller");

    bench.tokens.ensure_bootstrap(&text("token-other:third")).await.expect("set");
    assert!(matches!(bench.caller(&text("token-boot:second")).await, Err(AuthError::Unknown(_))));
    bench.caller(&text("token-other:third")).await.expect("caller");

    let error = bench.tokens.ensure_bootstrap(&text("canary")).await.expect_err("no token").to_string();
    assert!(error.contains("token-<name>:<secret>") && !error.contains("canary"), "{error}");
    assert!(bench.tokens.create_first().await.expect("first").is_none(), "an administrator has a token");
}

#[tokio::test]
async fn only_the_first_start_makes_an_administrators_token() {
    let bench = bench().await;
    bench.tokens.create("ann", None, None, "").await.expect("an ordinary user's does not count");
    let first = bench.tokens.create_first().await.expect("first").expect("a token");
    assert!(bench.caller(&first.to_bearer()).await.expect("caller").admin);
    assert!(bench.replica().create_first().await.expect("again").is_none());
    bench.tokens.revoke(&first.name).await.expect("revoke");
    assert!(bench.tokens.create_first().await.expect("again").is_none(), "whoever revokes it wants it gone");
}

#[tokio::test]
async fn making_an_administrator_reaches_the_next_look_up() {
    let bench = bench().await;
    let token = bench.tokens.create("ann", None, None, "").await.expect("create");
    assert!(!bench.caller(&token.to_bearer()).await.expect("caller").admin);
    bench.tokens.create("ann", Some(true), None, "").await.expect("create");
    bench.clock.advance(Duration::from_secs(2));
    assert!(bench.caller(&token.to_bearer()).await.expect("caller").admin);
    bench.tokens.create("ann", None, None, "").await.expect("create");
    bench.clock.advance(Duration::from_secs(2));
    assert!(bench.caller(&token.to_bearer()).await.expect("caller").admin, "not given: unchanged");
    // The last administrator cannot be demoted.
    bench.tokens.create("bob", Some(true), None, "").await.expect("create");
    bench.tokens.create("ann", Some(false), None, "").await.expect("create");
    bench.clock.advance(Duration::from_secs(2));
    assert!(!bench.caller(&token.to_bearer()).await.expect("caller").admin);
}

#[tokio::test]
async fn the_list_tells_when_a_token_was_used_and_old_expired_ones_go() {
    let bench = bench().await;
    let token =
        bench.tokens.create("ann", None, Some(Duration::from_mins(1)), "words").await.expect("create");
    bench.caller(&token.to_bearer()).await.expect("caller");
    let used = async || bench.tokens.list().await.expect("list").first().and_then(|info| info.last_used_ms);
    tokio::time::timeout(Duration::from_secs(5), async {
        while used().await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the use is noted");
    let list = bench.tokens.list().await.expect("list");
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
        metadata: Metadata::stored(BTreeMap::new(), BTreeMap::new()),
    };
    assert_eq!(list, [expected]);

    bench.clock.advance(Duration::from_hours(24));
    assert_eq!(bench.tokens.remove_expired().await.expect("remove"), 0);
    bench.clock.advance(Duration::from_hours(7 * 24));
    assert_eq!(bench.tokens.remove_expired().await.expect("remove"), 1);
}

#[tokio::test]
async fn unusable_names_are_refused() {
    let bench = bench().await;
    for name in ["", " ", "ann ", "a\nb", &"x".repeat(129)] {
        let error = bench.tokens.create(name, None, None, "").await.expect_err(name);
        assert!(matches!(error, Error::Invalid(_)), "{name:?}: {error}");
    }
    assert!(bench.tokens.create("ann", None, None, "\0").await.is_err());
    assert!(bench.tokens.list().await.expect("list").is_empty());
}
