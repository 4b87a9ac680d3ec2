//! The key file, its keys in the database, and rotation.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::*;
use crate::store::{AuditRow, CredentialRow, UserRow};
use crate::vault::KeyRing;

struct TestContext {
    directory: tempfile::TempDir,
    store: Store,
    clock: Clock,
}

async fn context() -> TestContext {
    let directory = tempfile::tempdir().expect("directory");
    let url = store::sqlite_url(&directory.path().join("aks.db"));
    let store = Store::connect(&url, &store::Options::default()).await.expect("open");
    store.migrate().await.expect("migrate");
    let owner = UserRow {
        id: "user-a".to_owned(),
        name: "ann".to_owned(),
        admin: false,
        enabled: true,
        created_ms: 0,
    };
    store::users::ensure(&store, &owner, None, |_| audit()).await.expect("owner");
    TestContext { directory, store, clock: Clock::manual(1_000_000_000) }
}

fn audit() -> AuditRow {
    AuditRow { id: uuid::Uuid::now_v7().to_string(), ..AuditRow::default() }
}

impl TestContext {
    fn path(&self) -> PathBuf {
        self.directory.path().join("encryption.key")
    }

    async fn open(&self, may_create: bool) -> Result<(Secrets, Origin), Error> {
        Secrets::open(&self.path(), may_create, self.store.clone(), self.clock.clone()).await
    }

    async fn secrets(&self) -> Secrets {
        self.open(true).await.expect("open").0
    }

    async fn insert_credential(&self, secrets: &Secrets, id: &str, plain: &str) {
        let secret = secrets.seal(id, &SecretString::from(plain)).expect("seal");
        let row = CredentialRow {
            id: id.to_owned(),
            owner: "user-a".to_owned(),
            secret: Some(secret),
            version: 1,
            ..CredentialRow::default()
        };
        store::credentials::insert(&self.store, &row, &audit()).await.expect("insert");
    }

    /// Inserts a cluster with a secret.
    async fn insert_cluster_secret(&self, secrets: &Secrets) {
        self.execute(
            "insert into clusters (id, uuid, owner, name, spec, status, created_ms, updated_ms, version)
             values ('c-a', 'u', 'user-a', 'n', '{}', '{}', 0, 0, 1)",
        )
        .await;
        let plain = SecretString::from("secret");
        secrets.store_cluster_secret("c-a", SERVICE_ACCOUNT_TOKEN_SECRET, &plain).await.expect("store");
    }

    /// Executes a statement outside of the store.
    async fn execute(&self, statement: &'static str) {
        let url = store::sqlite_url(&self.directory.path().join("aks.db"));
        let pool = sqlx::SqlitePool::connect(&url).await.expect("open");
        sqlx::query(statement).execute(&pool).await.expect(statement);
        pool.close().await;
    }

    async fn row(&self, id: &str) -> CredentialRow {
        store::credentials::get(&self.store, id).await.expect("get").expect("row")
    }

    async fn decrypt(&self, secrets: &Secrets, id: &str) -> String {
        let sealed = self.row(id).await.secret.expect("secret");
        secrets.unseal(id, &sealed).expect("open").expose_secret().to_owned()
    }
}

#[tokio::test]
async fn first_start_creates_a_private_key_file() {
    let context = context().await;
    assert!(matches!(context.open(false).await, Err(Error::NoFile { path }) if path == context.path()));
    let (secrets, origin) = context.open(true).await.expect("open");
    assert_eq!(origin, Origin::Created);
    assert_eq!(fs::metadata(context.path()).expect("file").permissions().mode() & 0o777, 0o600);
    context.insert_credential(&secrets, "cc-a", "secret").await;
    let (again, origin) = context.open(false).await.expect("open");
    assert_eq!(origin, Origin::Found);
    assert_eq!(again.key_ids(), secrets.key_ids());
    assert_eq!(context.decrypt(&again, "cc-a").await, "secret");
}

#[tokio::test]
async fn start_with_wrong_key_file_names_the_missing_key() {
    let context = context().await;
    let secrets = context.secrets().await;
    context.insert_credential(&secrets, "cc-a", "secret").await;
    let id = secrets.key_ids().remove(0);
    fs::remove_file(context.path()).expect("remove");
    let missing_ids = async || match context.open(true).await {
        Err(Error::MissingKeys { ids, .. }) => ids,
        other => panic!("{:?}", other.map(|(_, origin)| origin)),
    };
    assert_eq!(missing_ids().await, [id.as_str()]);
    assert!(!context.path().exists(), "no new key while an old one is needed");
    fs::write(context.path(), KeyRing::generate().expose_secret()).expect("write");
    assert_eq!(missing_ids().await, [id.as_str()]);
    fs::write(context.path(), "canary").expect("write");
    let error = context.open(true).await.err().expect("no key file");
    assert!(matches!(error, Error::Keys { .. }) && !format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn secret_is_decrypted_only_in_its_own_row() {
    let context = context().await;
    let secrets = context.secrets().await;
    context.insert_credential(&secrets, "cc-a", "secret").await;
    let sealed = context.row("cc-a").await.secret.expect("secret");
    assert!(matches!(secrets.unseal("cc-b", &sealed), Err(vault::Error::Tampered { .. })));
}

#[tokio::test]
async fn rotation_re_encrypts_all_secrets_with_the_new_key() {
    let context = context().await;
    let secrets = context.secrets().await;
    for n in 0..250 {
        context.insert_credential(&secrets, &format!("cc-{n:03}"), &format!("secret {n}")).await;
    }
    let before = context.row("cc-007").await;
    let new = append_key(&context.path()).expect("append");
    assert_eq!(fs::metadata(context.path()).expect("file").permissions().mode() & 0o777, 0o600);
    let keys = secrets.reload().await.expect("reload");
    assert_eq!(keys, [new.clone(), secrets.key_ids()[1].clone()]);

    let rotation = secrets.rotate().await.expect("rotate");
    assert_eq!(rotation, Rotation { key_id: new.clone(), rewrapped: 250, still_needed: Vec::new() });
    assert_eq!(secrets.rotate().await.expect("again").rewrapped, 0);
    let after = context.row("cc-007").await;
    let (old_secret, new_secret) = (before.secret.expect("secret"), after.secret.expect("secret"));
    assert_eq!(old_secret.ciphertext, new_secret.ciphertext);
    assert_ne!(old_secret.wrapped_key, new_secret.wrapped_key);
    assert_eq!((after.version, after.updated_ms), (2, 0));

    let first_line =
        fs::read_to_string(context.path()).expect("read").lines().next().expect("line").to_owned();
    fs::write(context.path(), first_line).expect("write");
    secrets.reload().await.expect("the old key is no longer needed");
    assert_eq!(context.decrypt(&secrets, "cc-249").await, "secret 249");
    assert_eq!(secrets.key_ids(), [new]);
}

#[tokio::test]
async fn rotation_requires_that_all_servers_have_the_new_key() {
    let context = context().await;
    let server = context.secrets().await;
    server.heartbeat().await.expect("heartbeat");
    context.insert_credential(&server, "cc-a", "secret").await;
    let new = append_key(&context.path()).expect("append");
    let command = context.secrets().await;
    context.clock.advance(Duration::from_secs(30));
    let error = command.rotate().await.expect_err("the server has the old keys");
    assert!(
        matches!(&error, Error::ReplicaBehind { replica, key_id, .. } if replica == server.replica() && *key_id == new),
        "{error}"
    );
    let message = error.to_string();
    assert!(
        message.contains("last seen 30 s ago") && message.contains("again in half a minute"),
        "{message}"
    );
    assert_eq!(context.row("cc-a").await.version, 1, "nothing was changed");

    server.reload().await.expect("a reload notifies the others immediately");
    assert_eq!(command.rotate().await.expect("rotate").rewrapped, 1);
    assert_eq!(context.decrypt(&server, "cc-a").await, "secret");
}

#[tokio::test]
async fn stopped_and_crashed_servers_do_not_block_a_rotation() {
    let context = context().await;
    let (crashed, stopped) = (context.secrets().await, context.secrets().await);
    crashed.heartbeat().await.expect("heartbeat");
    context.clock.advance(Duration::from_millis(30_001));
    stopped.heartbeat().await.expect("heartbeat");
    append_key(&context.path()).expect("append");
    let command = context.secrets().await;
    assert!(matches!(command.rotate().await, Err(Error::ReplicaBehind { .. })), "still running");
    stopped.delete_heartbeat().await.expect("delete the heartbeat");
    command.rotate().await.expect("rotate");
}

#[tokio::test]
async fn unusable_key_file_changes_nothing_on_reload() {
    let context = context().await;
    let secrets = context.secrets().await;
    context.insert_credential(&secrets, "cc-a", "secret").await;
    let keys = secrets.key_ids();
    fs::write(context.path(), "nonsense").expect("write");
    assert!(matches!(secrets.reload().await, Err(Error::Keys { .. })));
    fs::write(context.path(), KeyRing::generate().expose_secret()).expect("write");
    assert!(matches!(secrets.reload().await, Err(Error::MissingKeys { .. })));
    fs::remove_file(context.path()).expect("remove");
    assert!(matches!(secrets.reload().await, Err(Error::NoFile { .. } | Error::MissingKeys { .. })));
    assert_eq!(secrets.key_ids(), keys);
    assert_eq!(context.decrypt(&secrets, "cc-a").await, "secret");
}

/// Replaces each key in the file with a new one under the same ID.
fn replace_keys(path: &Path) {
    let text = fs::read_to_string(path).expect("read");
    let replaced = text.lines().map(|line| {
        let new = KeyRing::generate();
        let (_, key) = new.expose_secret().split_once(':').expect("line");
        format!("{}:{key}\n", line.split_once(':').expect("line").0)
    });
    fs::write(path, replaced.collect::<String>()).expect("write");
}

fn assert_wrong_key<T>(outcome: Result<T, Error>, expected_id: &str) {
    match outcome {
        Err(error @ Error::WrongKey { .. }) => {
            let message = error.to_string();
            assert!(
                message.contains(&format!("encryption key {expected_id} "))
                    && message.contains("restore its line"),
                "{message}"
            );
        }
        other => panic!("{:?}", other.map(drop)),
    }
}

#[tokio::test]
async fn different_key_with_a_known_id_is_rejected() {
    let context = context().await;
    let secrets = context.secrets().await;
    let id = secrets.key_ids().remove(0);
    let right_keys = fs::read_to_string(context.path()).expect("read");
    // Nothing has been encrypted yet: only the check value reveals the wrong key.
    replace_keys(&context.path());
    assert_wrong_key(context.open(true).await, &id);
    assert_wrong_key(Secrets::inspect(&context.path(), &context.store).await, &id);
    assert_wrong_key(secrets.reload().await, &id);
    context.insert_credential(&secrets, "cc-a", "secret").await;
    assert_eq!(context.decrypt(&secrets, "cc-a").await, "secret", "the key in use stays");
    fs::write(context.path(), right_keys).expect("write");
    let again = context.secrets().await;
    assert_eq!(context.decrypt(&again, "cc-a").await, "secret");
    secrets.reload().await.expect("the right key again");
}

#[tokio::test]
async fn different_inactive_key_is_rejected() {
    let context = context().await;
    let old = context.secrets().await.key_ids().remove(0);
    replace_keys(&context.path());
    append_key(&context.path()).expect("append");
    assert_wrong_key(context.open(true).await, &old);
}

#[tokio::test]
async fn database_without_check_values_is_verified_by_its_secrets() {
    for is_cluster_secret in [false, true] {
        let context = context().await;
        let secrets = context.secrets().await;
        let id = secrets.key_ids().remove(0);
        if is_cluster_secret {
            context.insert_cluster_secret(&secrets).await;
        } else {
            context.insert_credential(&secrets, "cc-a", "secret").await;
        }
        let name = format!("encryption-key/{id}");
        let delete_check_value =
            async || context.execute("delete from instance where key like 'encryption-key/%'").await;
        let check_value = async || store::instance::get(&context.store, &name).await.expect("get");
        delete_check_value().await;
        Secrets::inspect(&context.path(), &context.store).await.expect("inspect");
        assert_eq!(check_value().await, None, "reading writes nothing");
        let right_keys = fs::read_to_string(context.path()).expect("read");
        replace_keys(&context.path());
        assert_wrong_key(context.open(false).await, &id);
        assert_eq!(check_value().await, None, "a wrong key leaves no check value");
        fs::write(context.path(), right_keys).expect("write");
        context.open(false).await.expect("open");
        assert!(check_value().await.is_some());
    }
}

#[tokio::test]
async fn one_corrupt_secret_does_not_reject_the_key() {
    let context = context().await;
    let secrets = context.secrets().await;
    context.insert_credential(&secrets, "cc-a", "secret").await;
    context.insert_credential(&secrets, "cc-b", "secret").await;
    context.execute("delete from instance where key like 'encryption-key/%'").await;
    context.execute("update credentials set wrapped_key = zeroblob(60) where id = 'cc-a'").await;
    context.open(false).await.expect("open");
}

#[tokio::test]
async fn first_of_two_servers_defines_the_key_of_an_id() {
    let context = context().await;
    let paths = ["one", "two"].map(|name| context.directory.path().join(name));
    for path in &paths {
        fs::write(path, KeyRing::generate().expose_secret()).expect("write");
        let text = fs::read_to_string(path).expect("read");
        fs::write(path, format!("main:{}", text.split_once(':').expect("line").1)).expect("write");
    }
    let open = |path| Secrets::open(path, false, context.store.clone(), context.clock.clone());
    let outcomes = tokio::join!(open(&paths[0]), open(&paths[1]));
    let outcomes = [outcomes.0, outcomes.1];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_wrong_key(outcomes.into_iter().find(Result::is_err).expect("one"), "main");
}

#[tokio::test]
async fn check_values_outlive_rotation_and_removal_of_a_key() {
    let context = context().await;
    let secrets = context.secrets().await;
    context.insert_credential(&secrets, "cc-a", "secret").await;
    let old_line = fs::read_to_string(context.path()).expect("read");
    let new = append_key(&context.path()).expect("append");
    secrets.reload().await.expect("reload");
    secrets.rotate().await.expect("rotate");
    let both = fs::read_to_string(context.path()).expect("read");
    let new_line = both.lines().next().expect("line").to_owned();
    fs::write(context.path(), &new_line).expect("write");
    assert_eq!(context.secrets().await.key_ids(), [new]);
    // The old key may be added again, for an old backup; a different key may not use its ID.
    fs::write(context.path(), format!("{new_line}\n{old_line}")).expect("write");
    context.open(false).await.expect("open");
    let old = old_line.split_once(':').expect("line").0.to_owned();
    fs::write(context.path(), &old_line).expect("write");
    replace_keys(&context.path());
    let replaced = fs::read_to_string(context.path()).expect("read");
    fs::write(context.path(), format!("{new_line}\n{replaced}")).expect("write");
    assert_wrong_key(context.open(false).await, &old);
}

#[tokio::test]
async fn damaged_check_value_is_named() {
    let context = context().await;
    context.secrets().await;
    context.execute("update instance set value = 'x' where key like 'encryption-key/%'").await;
    let error = context.open(false).await.err().expect("damaged");
    assert!(
        matches!(&error, Error::Store(store::Error::Corrupt { row, .. }) if row.starts_with("encryption-key/"))
    );
}

#[tokio::test]
async fn stored_secret_is_not_in_the_database_files() {
    const CANARY: &str = "canary~secret~0123456789";
    let context = context().await;
    let secrets = context.secrets().await;
    context.insert_credential(&secrets, "cc-a", CANARY).await;
    let mut row = context.row("cc-a").await;
    row.secret = Some(secrets.seal("cc-a", &SecretString::from(CANARY)).expect("seal"));
    store::credentials::update(&context.store, &row, false, &audit()).await.expect("update");
    let mut files_with_row = 0;
    for entry in fs::read_dir(context.directory.path()).expect("list") {
        let bytes = fs::read(entry.expect("entry").path()).expect("read");
        files_with_row += usize::from(bytes.windows(6).any(|window| window == b"user-a"));
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    }
    assert!(files_with_row > 0, "the row was found, so its secret would have been too");
    assert_eq!(context.decrypt(&secrets, "cc-a").await, CANARY);
}

#[test]
fn new_key_is_inserted_first_and_invalid_file_unchanged() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("keys");
    let first = append_key(&path).expect("new file");
    let second = append_key(&path).expect("append");
    let ring = KeyRing::parse(&fs::read_to_string(&path).expect("read")).expect("ring");
    assert_eq!(ring.ids().collect::<Vec<_>>(), [second, first]);
    fs::write(&path, "nonsense").expect("write");
    assert!(matches!(append_key(&path), Err(Error::Keys { .. })));
    assert_eq!(fs::read_to_string(&path).expect("read"), "nonsense");
    assert!(matches!(append_key(Path::new("/nonexistent-directory/keys")), Err(Error::File { .. })));
}
