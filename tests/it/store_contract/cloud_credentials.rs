//! Stored cloud credentials.

use super::*;

on_both_databases!(
    credentials_are_read_as_written,
    credential_update_requires_latest_version,
    deleted_credential_is_kept_for_its_clusters,
    erase_detaches_credential_from_clusters,
    concurrent_last_uses_erase_the_credential,
    credential_secrets_are_rewrapped_in_pages,
    credential_update_waits_for_new_cluster
);

async fn credentials_are_read_as_written(db: &TestDb) {
    let store = &db.store;
    let full = CredentialRow {
        annotations: BTreeMap::from([("a/b".to_owned(), "\u{1F980} \u{2028} <&> \\ \n".to_owned())]),
        tenant_id: some("t"),
        ..credential("cc-b")
    };
    let bare = CredentialRow {
        description: None,
        labels: BTreeMap::new(),
        subscription_id: None,
        client_id: None,
        environment: None,
        secret: None,
        owner: OTHER_OWNER.to_owned(),
        ..credential("cc-a")
    };
    let older = CredentialRow { created_ms: 1, ..credential("cc-z") };
    for row in [&full, &bare, &older] {
        add_credential(store, row).await;
        assert_eq!(find_credential(store, &row.id).await.as_ref(), Some(row));
    }
    let taken = credentials::insert(store, &bare, &audit()).await.unwrap_err();
    assert!(matches!(taken, Error::Duplicate { what: UniqueConstraint::CredentialId }), "{taken:?}");
    assert_eq!(find_credential(store, "cc-x").await, None);
    let all = credentials::list(store, None).await.unwrap();
    assert_eq!(all, [older.clone(), bare.clone(), full.clone()], "oldest first, then by id");
    assert_eq!(credentials::list(store, Some(OWNER)).await.unwrap(), [older, full]);
    assert_eq!(delete_credential(store, "cc-a", 1).await, Some(Deletion::Erased));
    assert_eq!(delete_credential(store, "cc-a", 1).await, None);
    assert!(credentials::list(store, Some(OTHER_OWNER)).await.unwrap().is_empty());
}

async fn credential_update_requires_latest_version(db: &TestDb) {
    let store = &db.store;
    let row = credential("cc-a");
    add_credential(store, &row).await;
    let changed = CredentialRow {
        name: "new".to_owned(),
        description: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        tenant_id: some("t2"),
        subscription_id: some("s2"),
        client_id: some("c2"),
        environment: some("AzureChinaCloud"),
        secret: Some(sealed("k2")),
        updated_ms: 99,
        ..row.clone()
    };
    assert_eq!(credentials::update(store, &changed, false, &audit()).await.unwrap(), 2);
    let read = read_credential(store, "cc-a").await;
    assert_eq!(read, CredentialRow { version: 2, ..changed.clone() });
    let late = credentials::update(store, &row, false, &audit()).await.unwrap_err();
    assert!(matches!(&late, Error::Conflict { table: "credentials", id } if id == "cc-a"), "{late:?}");
    let altered =
        CredentialRow { uuid: "u".to_owned(), owner: "o".to_owned(), created_ms: 0, secret: None, ..read };
    assert_eq!(credentials::update(store, &altered, false, &audit()).await.unwrap(), 3);
    let read = read_credential(store, "cc-a").await;
    assert_eq!(
        read,
        CredentialRow { secret: None, version: 3, ..changed },
        "ID, UUID, owner and creation time are unchanged"
    );
    let gone = credentials::update(store, &credential("cc-x"), false, &audit()).await.unwrap_err();
    assert!(matches!(gone, Error::Conflict { .. }), "{gone:?}");
}

fn erasure(credential_id: &str, record_id: &str) -> Erasure {
    let audit = AuditRow { id: record_id.to_owned(), action: "erase".to_owned(), ..audit() };
    Erasure { credential_id: credential_id.to_owned(), audit }
}

async fn erasure_record_ids(store: &Store) -> Vec<String> {
    let filter = Filter { action: some("erase"), ..Filter::default() };
    audit::list(store, 10, &filter).await.unwrap().into_iter().map(|row| row.id).collect()
}

async fn deleted_credential_is_kept_for_its_clusters(db: &TestDb) {
    let store = &db.store;
    for id in ["cc-a", "cc-b", "cc-c"] {
        add_credential(store, &credential(id)).await;
    }
    let rows = ["c-a", "c-b", "c-c"].map(|id| ClusterRow { credential_id: some("cc-a"), ..cluster(id) });
    for row in &rows {
        add_cluster(store, row).await;
    }
    let using = |id: &str| UsingCluster { id: id.to_owned(), name: "c".to_owned() };
    assert_eq!(
        delete_credential(store, "cc-a", 7).await,
        Some(Deletion::Pending(vec![using("c-a"), using("c-b"), using("c-c")]))
    );
    assert_eq!(delete_credential(store, "cc-b", 7).await, Some(Deletion::Erased));
    for gone in ["cc-a", "cc-b", "cc-x", "a\0b"] {
        assert_eq!(delete_credential(store, gone, 8).await, None, "{gone}");
    }
    let kept = CredentialRow { deleted_ms: Some(7), version: 2, ..credential("cc-a") };
    assert_eq!(find_credential(store, "cc-a").await, Some(kept.clone()));
    assert_eq!(credentials::list(store, None).await.unwrap(), [credential("cc-c")]);
    assert_eq!(
        credentials::pending(store).await.unwrap(),
        [PendingRow { credential: kept, clusters: vec![using("c-a"), using("c-b"), using("c-c")] }]
    );
    // Clusters that use the deleted credential may change; no other cluster may start to use it.
    let new_cluster = ClusterRow { credential_id: some("cc-a"), ..cluster("c-d") };
    let rejected = clusters::insert(store, &new_cluster, None, &audit()).await.unwrap_err();
    assert!(matches!(rejected, Error::Dangling { table: "clusters", .. }), "{rejected:?}");
    let other = ClusterRow { credential_id: some("cc-c"), ..cluster("c-e") };
    add_cluster(store, &other).await;
    let (record, last_use) = (audit(), erasure("cc-c", "1"));
    let records = UpdateRecords { change: &record, changes_credential: true, erasure: Some(&last_use) };
    let moved = ClusterRow { credential_id: some("cc-a"), ..other };
    let rejected = clusters::update(store, &moved, None, None, records).await.unwrap_err();
    assert!(matches!(rejected, Error::Dangling { table: "clusters", .. }), "{rejected:?}");
    let no_credential = ClusterRow { credential_id: None, ..cluster("c-f") };
    add_cluster(store, &no_credential).await;
    let records = UpdateRecords { change: &record, changes_credential: true, erasure: None };
    let moved = ClusterRow { credential_id: some("cc-a"), ..no_credential };
    let rejected = clusters::update(store, &moved, None, None, records).await.unwrap_err();
    assert!(matches!(rejected, Error::Dangling { table: "clusters", .. }), "{rejected:?}");
    let [first, second, third] = rows;
    assert_eq!(clusters::update(store, &first, None, None, &audit()).await.unwrap(), 2);
    // Clusters stop using the credential by a change, a removal and a deletion by the worker; the last of these erases it.
    let (record, last_use) = (audit(), erasure("cc-a", "2"));
    let records = UpdateRecords { change: &record, changes_credential: true, erasure: Some(&last_use) };
    let first = ClusterRow { credential_id: some("cc-c"), version: 2, ..first };
    clusters::update(store, &first, None, None, records).await.unwrap();
    let removed = clusters::remove(store, &second.id, |_| RemovalRecords {
        event: NewClusterEvent::default(),
        change: audit(),
        erasure: Some(erasure("cc-a", "3")),
    });
    assert!(removed.await.unwrap().is_some());
    assert!(!credentials::erase_unused(store, &erasure("cc-a", "4")).await.unwrap());
    assert!(find_credential(store, "cc-a").await.is_some());
    assert!(erasure_record_ids(store).await.is_empty());
    let gone = clusters::delete_claimed(store, &third.id, 0, &[], Some(&erasure("cc-a", "5"))).await;
    assert!(gone.unwrap());
    assert_eq!(find_credential(store, "cc-a").await, None);
    assert_eq!(erasure_record_ids(store).await, ["5"]);
    assert!(credentials::pending(store).await.unwrap().is_empty());
    // A credential that was not deleted is kept even if no cluster uses it.
    assert!(!credentials::erase_unused(store, &erasure("cc-c", "6")).await.unwrap());
    assert!(find_credential(store, "cc-c").await.is_some());
}

async fn erase_detaches_credential_from_clusters(db: &TestDb) {
    let store = &db.store;
    add_credential(store, &credential("cc-a")).await;
    let row = ClusterRow { credential_id: some("cc-a"), ..cluster("c-a") };
    add_cluster(store, &row).await;
    assert_eq!(clusters::using_credential(store, "cc-a").await.unwrap(), std::slice::from_ref(&row));
    assert!(clusters::using_credential(store, "cc-b").await.unwrap().is_empty());
    let missing = ClusterRow { credential_id: some("cc-x"), ..cluster("c-b") };
    let dangling = clusters::insert(store, &missing, None, &audit()).await.unwrap_err();
    assert!(matches!(dangling, Error::Dangling { table: "clusters", .. }), "{dangling:?}");
    let missing = ClusterRow { credential_id: some("cc-x"), ..row.clone() };
    let dangling = clusters::update(store, &missing, None, None, &audit()).await.unwrap_err();
    assert!(matches!(dangling, Error::Dangling { table: "clusters", .. }), "{dangling:?}");
    let erase = async |id: &str| credentials::erase(store, id, |_| audit()).await.unwrap();
    assert_eq!(erase("cc-a").await.map(|clusters| clusters.len()), Some(1));
    let detached = read_cluster(store, "c-a").await;
    assert_eq!((detached.credential_id, detached.version, detached.work.next_run_ms), (None, 2, Some(0)));
    assert_eq!(find_credential(store, "cc-a").await, None);
    for gone in ["cc-a", "a\0b"] {
        assert_eq!(erase(gone).await, None);
    }
    // A credential whose deletion is pending can be erased too, and so can an unused one.
    add_credential(store, &credential("cc-b")).await;
    let row = ClusterRow { credential_id: some("cc-b"), ..cluster("c-b") };
    add_cluster(store, &row).await;
    delete_credential(store, "cc-b", 1).await.unwrap();
    assert_eq!(erase("cc-b").await.map(|clusters| clusters.len()), Some(1));
    add_credential(store, &credential("cc-c")).await;
    assert_eq!(erase("cc-c").await, Some(Vec::new()));
    // A worker that processes a cluster during the erasure does not overwrite the wake-up.
    add_credential(store, &credential("cc-d")).await;
    let work = ReconcileColumns { next_run_ms: Some(10), ..cluster("c-d").work };
    add_cluster(store, &ClusterRow { credential_id: some("cc-d"), work, ..cluster("c-d") }).await;
    let claimed = clusters::claim(store, "a", 10, 100, 9).await.unwrap();
    let claimed = claimed.into_iter().find(|row| row.id == "c-d").unwrap();
    erase("cc-d").await.unwrap();
    let work = ReconcileColumns { next_run_ms: Some(5_000), ..claimed.work };
    assert!(clusters::release(store, "c-d", &work, claimed.generation, 20, &[]).await.unwrap());
    assert_eq!(read_cluster(store, "c-d").await.work.next_run_ms, Some(20));
}

async fn concurrent_last_uses_erase_the_credential(db: &TestDb) {
    let store = &db.store;
    for round in 0..5 {
        let (old, new) = (format!("cc-o{round}"), format!("cc-n{round}"));
        for id in [&old, &new] {
            add_credential(store, &credential(id)).await;
        }
        let rows: Vec<_> = (0..4)
            .map(|number| ClusterRow {
                credential_id: Some(old.clone()),
                ..cluster(&format!("c-{round}-{number}"))
            })
            .collect();
        for row in &rows {
            add_cluster(store, row).await;
        }
        // The deletion races with the changes: the last of them erases the credential.
        let moves = rows.into_iter().enumerate().map(|(number, row)| {
            let (old, new) = (old.clone(), new.clone());
            async move {
                let (record, last_use) = (audit(), erasure(&old, &format!("{round}-{number}")));
                let records =
                    UpdateRecords { change: &record, changes_credential: true, erasure: Some(&last_use) };
                let moved = ClusterRow { credential_id: Some(new), ..row };
                clusters::update(store, &moved, None, None, records).await.unwrap();
            }
        });
        tokio::join!(futures_util::future::join_all(moves), delete_credential(store, &old, 1));
        assert_eq!(find_credential(store, &old).await, None, "round {round}");
    }
}

async fn credential_secrets_are_rewrapped_in_pages(db: &TestDb) {
    let store = &db.store;
    for (id, secret) in [
        ("cc-a", Some(sealed("k1"))),
        ("cc-b", None),
        ("cc-c", Some(sealed("k2"))),
        ("cc-d", Some(sealed("k0"))),
    ] {
        add_credential(store, &CredentialRow { secret, ..credential(id) }).await;
    }
    assert_eq!(credentials::key_ids(store).await.unwrap(), ["k0", "k1", "k2"]);
    let page = credentials::sealed_by_others(store, "k2", "", 1).await.unwrap();
    assert_eq!(page, [("cc-a".to_owned(), 1, sealed("k1"))]);
    let page = credentials::sealed_by_others(store, "k2", "cc-a", 10).await.unwrap();
    assert_eq!(page, [("cc-d".to_owned(), 1, sealed("k0"))]);
    let page = credentials::sealed_by(store, "k1", 10).await.unwrap();
    assert_eq!(page, [("cc-a".to_owned(), 1, sealed("k1"))]);
    assert_eq!(credentials::sealed_by(store, "k9", 10).await.unwrap(), []);

    assert!(credentials::rewrap(store, "cc-a", 1, &sealed("k2")).await.unwrap());
    assert!(!credentials::rewrap(store, "cc-a", 1, &sealed("k3")).await.unwrap(), "changed meanwhile");
    let row = read_credential(store, "cc-a").await;
    assert_eq!(row, CredentialRow { secret: Some(sealed("k2")), version: 2, ..credential("cc-a") });
    let late = credentials::update(store, &credential("cc-a"), false, &audit()).await.unwrap_err();
    assert!(matches!(late, Error::Conflict { .. }));
}

async fn credential_update_waits_for_new_cluster(db: &TestDb) {
    use sqlx::Connection as _;
    let store = &db.store;
    add_credential(store, &credential("cc-a")).await;
    // The transaction that inserts a cluster with this credential is not committed yet.
    let insert = "insert into clusters (id, uuid, owner, name, spec, status, credential_id, created_ms, updated_ms, version)
                  values ('c-a', 'u', 'o', 'n', '{}', '{}', 'cc-a', 1, 1, 1)";
    let changed = CredentialRow { subscription_id: some("other"), ..credential("cc-a") };
    let audit = audit();
    let update = credentials::update(store, &changed, true, &audit);
    macro_rules! race {
        ($connection:expr, $begin:literal) => {{
            let mut connection = $connection.unwrap();
            sqlx::raw_sql($begin).execute(&mut connection).await.unwrap();
            sqlx::raw_sql(insert).execute(&mut connection).await.unwrap();
            let commit = async {
                // Long enough for the update to reach the lock; an update that does not wait fails the test.
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                sqlx::raw_sql("commit").execute(&mut connection).await.unwrap();
            };
            tokio::join!(update, commit).0
        }};
    }
    let outcome = match store.kind() {
        DatabaseKind::Sqlite => race!(sqlx::SqliteConnection::connect(&db.url).await, "begin immediate"),
        DatabaseKind::Postgres => race!(sqlx::PgConnection::connect(&db.url).await, "begin"),
    };
    assert!(matches!(outcome, Err(Error::InUse { table: "credentials", .. })), "{outcome:?}");
}
