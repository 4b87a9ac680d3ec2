//! Clusters as users change them, and claims on AKS clusters.

use super::*;

on_both_databases!(
    clusters_are_read_as_written,
    aks_identity_and_cluster_id_are_unique,
    cluster_update_requires_latest_version,
    concurrent_inserts_of_one_name_succeed_once,
    proved_claim_replaces_unproved_claim,
    unproved_claim_is_valid_after_creation_was_started,
    claim_identity_requires_lease_and_version,
    migration_4_drops_unused_claims
);

async fn clusters_are_read_as_written(db: &TestDb) {
    let store = &db.store;
    add_credential(store, &credential("cc-a")).await;
    let full = ClusterRow {
        credential_id: some("cc-a"),
        aks_identity: some("s/g/n"),
        identity_proved: true,
        created_ms: 9,
        ..cluster("c-a")
    };
    let bare = ClusterRow { owner: OTHER_OWNER.to_owned(), ..cluster("c-b") };
    for row in [&full, &bare] {
        add_cluster(store, row).await;
        assert_eq!(clusters::get(store, &row.id).await.unwrap().as_ref(), Some(row));
    }
    assert_eq!(clusters::get(store, "c-x").await.unwrap(), None);
    assert_eq!(clusters::list(store, None).await.unwrap(), [bare.clone(), full.clone()]);
    assert_eq!(clusters::list(store, Some(OTHER_OWNER)).await.unwrap(), [bare]);
    assert_eq!(clusters::by_aks_identity(store, "s/g/n").await.unwrap(), Some(full));
    assert_eq!(clusters::by_aks_identity(store, "s/g").await.unwrap(), None);
    assert!(remove_cluster(store, "c-a").await);
    assert!(!remove_cluster(store, "c-a").await);
}

async fn aks_identity_and_cluster_id_are_unique(db: &TestDb) {
    let store = &db.store;
    let with_identity = |id: &str| ClusterRow { aks_identity: some("s/g/n"), ..cluster(id) };
    clusters::insert(store, &with_identity("c-a"), None, &audit()).await.unwrap();
    let taken = clusters::insert(store, &with_identity("c-b"), None, &audit()).await.unwrap_err();
    assert!(matches!(taken, Error::Duplicate { what: UniqueConstraint::ClusterIdentity }), "{taken:?}");
    add_cluster(store, &cluster("c-b")).await;
    add_cluster(store, &cluster("c-c")).await;
    let taken = clusters::update(store, &with_identity("c-b"), None, None, &audit()).await.unwrap_err();
    assert!(matches!(taken, Error::Duplicate { what: UniqueConstraint::ClusterIdentity }), "{taken:?}");
    let taken = clusters::insert(store, &cluster("c-b"), None, &audit()).await.unwrap_err();
    assert!(matches!(taken, Error::Duplicate { what: UniqueConstraint::ClusterId }), "{taken:?}");
}

async fn cluster_update_requires_latest_version(db: &TestDb) {
    let store = &db.store;
    add_cluster(store, &cluster("c-a")).await;
    add_credential(store, &credential("cc-a")).await;
    let changed = ClusterRow {
        name: "n".to_owned(),
        spec: r#"{"b":1, "a":2}"#.to_owned(),
        credential_id: some("cc-a"),
        aks_identity: some("s/g/n"),
        updated_ms: 9,
        ..cluster("c-a")
    };
    assert_eq!(clusters::update(store, &changed, None, None, &audit()).await.unwrap(), 2);
    let read = read_cluster(store, "c-a").await;
    assert_eq!(read, ClusterRow { version: 2, ..changed.clone() }, "JSON is stored as written");
    let late = clusters::update(store, &changed, None, None, &audit()).await.unwrap_err();
    assert!(matches!(&late, Error::Conflict { table: "clusters", id } if id == "c-a"), "{late:?}");
}

async fn concurrent_inserts_of_one_name_succeed_once(db: &TestDb) {
    // Another server with the same database.
    let other_store = Store::connect(&db.url, &Options::default()).await.unwrap();
    for round in 0..4 {
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..8 {
            let store = if number % 2 == 0 { db.store.clone() } else { other_store.clone() };
            writers.spawn(async move {
                let name = if number < 4 { format!("Näme{round}") } else { format!("nÄME{round}") };
                let row = ClusterRow { name, ..cluster(&format!("c-{round}-{number}")) };
                // An administrator sees all clusters, the owner only their own.
                let scope = if number < 6 { NameScope::VisibleTo(OWNER) } else { NameScope::All };
                clusters::insert(&store, &row, Some(scope), &audit()).await
            });
        }
        let outcomes = writers.join_all().await;
        let is_rejected = |outcome: &&Result<(), Error>| {
            matches!(outcome, Err(Error::Duplicate { what: UniqueConstraint::ClusterName }))
        };
        assert_eq!(outcomes.iter().filter(is_rejected).count(), 7, "{outcomes:?}");
    }
    let names: Vec<String> =
        clusters::list(&db.store, None).await.unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    // A user who sees none of these clusters may use the name.
    let row = ClusterRow { owner: OTHER_OWNER.to_owned(), name: "näme0".to_owned(), ..cluster("c-z") };
    let scope = NameScope::VisibleTo(OTHER_OWNER);
    assert!(!clusters::is_name_taken(&db.store, "näme0", "", scope).await.unwrap());
    assert!(clusters::is_name_taken(&db.store, "näme0", "", NameScope::All).await.unwrap());
    clusters::insert(&db.store, &row, Some(scope), &audit()).await.unwrap();
    assert!(!clusters::is_name_taken(&db.store, "NÄME0", "c-z", scope).await.unwrap());
}

/// A row that claims the AKS cluster `s/g/n`.
fn claiming(id: &str, identity_proved: bool) -> ClusterRow {
    ClusterRow { aks_identity: some("s/g/n"), identity_proved, ..cluster(id) }
}

async fn read_claim(store: &Store, id: &str) -> (Option<String>, bool) {
    let row = read_cluster(store, id).await;
    (row.aks_identity, row.identity_proved)
}

fn assert_already_claimed(error: &Error) {
    assert!(matches!(error, Error::Duplicate { what: UniqueConstraint::ClusterIdentity }), "{error:?}");
}

async fn proved_claim_replaces_unproved_claim(db: &TestDb) {
    let store = &db.store;
    let holder = async || clusters::by_aks_identity(store, "s/g/n").await.unwrap().map(|row| row.id);
    // Earlier versions of the server claimed without asking Azure. Only one such claim can exist, but it is not valid.
    add_cluster(store, &claiming("c-a", false)).await;
    let again = clusters::insert(store, &claiming("c-b", false), None, &audit()).await;
    assert_already_claimed(&again.unwrap_err());
    assert_eq!(holder().await, None, "the claim is not valid");

    add_cluster(store, &claiming("c-b", true)).await;
    assert_eq!((holder().await, read_claim(store, "c-a").await), (some("c-b"), (None, false)));
    let stale = clusters::update(store, &claiming("c-a", false), None, None, &audit()).await;
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");
    for proved in [false, true] {
        let late = clusters::insert(store, &claiming("c-c", proved), None, &audit()).await;
        assert_already_claimed(&late.unwrap_err());
        let reclaiming = ClusterRow { version: 2, ..claiming("c-a", proved) };
        let late = clusters::update(store, &reclaiming, None, None, &audit()).await;
        assert_already_claimed(&late.unwrap_err());
    }
    assert_already_claimed(&clusters::claim_identity(store, "c-a", 0, 2, "s/g/n").await.unwrap_err());
    remove_cluster(store, "c-b").await;
    assert!(clusters::claim_identity(store, "c-a", 0, 2, "s/g/n").await.unwrap());
    assert_eq!((holder().await, read_claim(store, "c-a").await), (some("c-a"), (some("s/g/n"), true)));
}

async fn unproved_claim_is_valid_after_creation_was_started(db: &TestDb) {
    let store = &db.store;
    for statement in [
        "update clusters set claimed = (1 = 1) where id = 'c-a'",
        "update clusters set claimed = (1 = 0), activated_ms = 1 where id = 'c-a'",
    ] {
        if clusters::get(store, "c-a").await.unwrap().is_none() {
            add_cluster(store, &claiming("c-a", false)).await;
        }
        execute(db, statement).await;
        let late = clusters::insert(store, &claiming("c-b", true), None, &audit()).await;
        assert_already_claimed(&late.unwrap_err());
        let holder = clusters::by_aks_identity(store, "s/g/n").await.unwrap().unwrap();
        assert_eq!(holder.id, "c-a");
    }
}

async fn claim_identity_requires_lease_and_version(db: &TestDb) {
    let store = &db.store;
    add_scheduled_cluster(store, "c-a", Some(1)).await;
    let row = clusters::claim(store, "w", 1, 9, 1).await.unwrap().remove(0);
    let claim =
        async |fence, version| clusters::claim_identity(store, "c-a", fence, version, "s/g/n").await.unwrap();
    assert!(!claim(row.work.fence + 1, row.version).await, "another lease");
    assert!(!claim(row.work.fence, row.version + 1).await, "another version");
    assert_eq!(read_claim(store, "c-a").await, (None, false));
    assert!(claim(row.work.fence, row.version).await);
    assert_eq!(read_claim(store, "c-a").await, (some("s/g/n"), true));
    // An update of a row that was read before the claim must not undo it.
    let conflict = clusters::update(store, &row, None, None, &audit()).await.unwrap_err();
    assert!(matches!(conflict, Error::Conflict { .. }), "{conflict:?}");
}

async fn migration_4_drops_unused_claims(db: &TestDb) {
    execute(db, "alter table clusters drop column identity_proved").await;
    execute(db, "delete from _sqlx_migrations where version = 4").await;
    execute(
        db,
        "insert into clusters (id, uuid, owner, name, spec, status, aks_identity, created_ms, updated_ms, version,
         claimed, activated_ms)
         values ('c-new', 'u', 'o', 'n', '{}', '{}', 's/g/new', 1, 1, 1, (1 = 0), null),
         ('c-made', 'u', 'o', 'n', '{}', '{}', 's/g/made', 1, 1, 1, (1 = 1), null),
         ('c-active', 'u', 'o', 'n', '{}', '{}', 's/g/active', 1, 1, 1, (1 = 0), 1),
         ('c-none', 'u', 'o', 'n', '{}', '{}', null, 1, 1, 1, (1 = 0), 1)",
    )
    .await;
    let applied = db.store.migrate().await.unwrap().applied;
    assert_eq!(applied, ["0004_identity_proved"]);
    for (id, expected) in [
        ("c-new", (None, false)),
        ("c-made", (some("s/g/made"), true)),
        ("c-active", (some("s/g/active"), true)),
        ("c-none", (None, false)),
    ] {
        assert_eq!(read_claim(&db.store, id).await, expected, "{id}");
    }
}
