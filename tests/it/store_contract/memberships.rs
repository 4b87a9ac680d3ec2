//! Members of clusters; watches: the leases of servers that maintain members' rights in active clusters; and revocations: the
//! rows for users who lost rights in a cluster.

use super::*;

on_both_databases!(
    members_are_stored_until_their_cluster_is_deleted,
    strongest_role_determines_rights,
    labels_annotations_and_role_change_separately,
    watch_has_one_holder,
    announce_writes_one_event,
    lost_rights_cause_revocations,
    former_administrators_lose_rights_in_all_clusters,
    deleted_cluster_has_no_revocations
);

async fn members_are_stored_until_their_cluster_is_deleted(db: &TestDb) {
    let store = &db.store;
    add_user(store, &user("user-m", "member")).await;
    add_cluster(store, &cluster("c-a")).await;
    add_cluster(store, &cluster("c-b")).await;
    let member = member("crtb-1", "c-a", "user-m");
    add_member(store, &member).await;
    assert!(matches!(members::insert(store, &member, &audit()).await, Err(Error::Duplicate { .. })));
    let of_unknown_user =
        MemberRow { id: "crtb-2".to_owned(), user_id: "user-none".to_owned(), ..member.clone() };
    assert!(matches!(members::insert(store, &of_unknown_user, &audit()).await, Err(Error::Dangling { .. })));
    let ids: Vec<_> =
        clusters::list(store, Some("user-m")).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["c-a"]);
    assert_eq!(members::find(store, "c-a", "user-m").await.unwrap(), Some(member.clone()));
    assert_eq!(members::list(store, Some("c-a"), None).await.unwrap(), std::slice::from_ref(&member));
    assert!(set_role(store, "crtb-1", "cluster-member", &audit()).await.unwrap());
    assert_eq!(members::get(store, "crtb-1").await.unwrap().unwrap().role, "cluster-member");
    assert!(remove_cluster(store, "c-a").await);
    assert!(members::get(store, "crtb-1").await.unwrap().is_none());
    assert!(!members::delete(store, "crtb-1", &audit()).await.unwrap());
    assert!(!set_role(store, "crtb-1", "read-only", &audit()).await.unwrap());
}

/// A membership of the user in `c-a`.
fn membership(id: &str, user_id: &str, role: &str) -> MemberRow {
    MemberRow { id: format!("c-a:{id}"), ..member_with_role("c-a", user_id, role) }
}

async fn strongest_role_determines_rights(db: &TestDb) {
    let store = &db.store;
    add_user(store, &user("user-m", "m")).await;
    add_active_cluster(store, "c-a").await;
    for (id, role) in
        [("1", "read-only"), ("2", "cluster-owner"), ("3", "cluster-member"), ("4", "cluster-owner")]
    {
        add_member(store, &membership(id, "user-m", role)).await;
    }
    let strongest_role = async || members::find(store, "c-a", "user-m").await.unwrap().map(|row| row.role);
    // Deletes all revocations; returns the number of those in `c-a`.
    let take_revocation_count = async || {
        let count = revocations::list(store, "c-a", 10).await.unwrap().len();
        execute(db, "delete from cluster_revocations").await;
        count
    };
    assert_eq!(strongest_role().await.as_deref(), Some("cluster-owner"));
    // Rights are lost only with the last membership of the strongest role.
    for (deleted, remaining, revoked) in
        [("1", "cluster-owner", 0), ("2", "cluster-owner", 0), ("4", "cluster-member", 1)]
    {
        assert!(members::delete(store, &format!("c-a:{deleted}"), &audit()).await.unwrap());
        let outcome = (strongest_role().await, take_revocation_count().await);
        assert_eq!(outcome, (Some(remaining.to_owned()), revoked), "{deleted}");
    }
    add_member(store, &membership("5", "user-m", "cluster-member")).await;
    for (demoted, remaining, revoked) in [("c-a:5", "cluster-member", 0), ("c-a:3", "read-only", 1)] {
        assert!(set_role(store, demoted, "read-only", &audit()).await.unwrap());
        let outcome = (strongest_role().await, take_revocation_count().await);
        assert_eq!(outcome, (Some(remaining.to_owned()), revoked), "{demoted}");
    }
    // Deleting the last two memberships at the same time revokes the rights too.
    let (audit_3, audit_5) = (audit(), audit());
    let (deleted_3, deleted_5) =
        tokio::join!(members::delete(store, "c-a:3", &audit_3), members::delete(store, "c-a:5", &audit_5));
    assert!(deleted_3.unwrap() && deleted_5.unwrap());
    assert_eq!((strongest_role().await, take_revocation_count().await), (None, 1));
    // The user who owns the cluster keeps all rights without a membership.
    add_member(store, &membership("6", OWNER, "cluster-owner")).await;
    assert!(members::delete(store, "c-a:6", &audit()).await.unwrap());
    assert_eq!(take_revocation_count().await, 0);
}

async fn labels_annotations_and_role_change_separately(db: &TestDb) {
    let store = &db.store;
    add_user(store, &user("user-m", "m")).await;
    add_active_cluster(store, "c-a").await;
    add_member(store, &membership("7", "user-m", "read-only")).await;
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let update = MemberUpdate { labels: Some(&labels), ..MemberUpdate::default() };
    assert!(members::update(store, "c-a:7", update, &audit()).await.unwrap());
    assert!(set_role(store, "c-a:7", "cluster-member", &audit()).await.unwrap());
    let annotations = BTreeMap::from([("c".to_owned(), "d".to_owned())]);
    let update = MemberUpdate { annotations: Some(&annotations), ..MemberUpdate::default() };
    assert!(members::update(store, "c-a:7", update, &audit()).await.unwrap());
    let expected = MemberRow { labels, annotations, ..membership("7", "user-m", "cluster-member") };
    assert_eq!(members::get(store, "c-a:7").await.unwrap(), Some(expected));
}

/// The numbers of `claim` are the current time, the end of the lease and the maximum number of clusters.
async fn watch_has_one_holder(db: &TestDb) {
    let store = &db.store;
    add_cluster(store, &cluster("c-new")).await;
    for id in ["c-a", "c-b"] {
        add_active_cluster(store, id).await;
    }
    assert_eq!(watches::claim(store, "one", 100, 200, 1).await.unwrap(), ["c-a"]);
    assert_eq!(watches::claim(store, "two", 100, 200, 10).await.unwrap(), ["c-b"]);
    assert!(watches::claim(store, "two", 199, 300, 10).await.unwrap().is_empty());
    assert_eq!(watches::renew(store, "one", 400).await.unwrap(), ["c-a"]);
    // The lease of `two` has expired, that of `one` has not.
    assert_eq!(watches::claim(store, "one", 300, 500, 10).await.unwrap(), ["c-b"]);
    assert!(watches::renew(store, "two", 900).await.unwrap().is_empty());
    assert_eq!(watches::release(store, "one").await.unwrap(), 2);
    assert_eq!(watches::claim(store, "two", 1, 900, 10).await.unwrap(), ["c-a", "c-b"]);
    assert_eq!(watches::release_all(store).await.unwrap(), 2);
    let row = read_cluster(store, "c-a").await;
    let removing = ClusterRow { removing_ms: Some(1), ..row };
    clusters::update(store, &removing, None, None, &audit()).await.unwrap();
    assert_eq!(watches::claim(store, "three", 1, 900, 10).await.unwrap(), ["c-b"]);
    assert_eq!(watches::renew(store, "three", 901).await.unwrap(), ["c-b"]);
}

/// A change of members' rights is announced once in each cluster that was ever watched.
async fn announce_writes_one_event(db: &TestDb) {
    let store = &db.store;
    add_active_cluster(store, "c-a").await;
    let event = NewClusterEvent {
        at_ms: 5,
        kind: "access".to_owned(),
        message: "members\0lose".to_owned(),
        data: "{}".to_owned(),
    };
    assert!(!watches::announce(store, "c-a", 5, &event).await.unwrap(), "the cluster was never watched");
    watches::claim(store, "one", 1, 2, 10).await.unwrap();
    for (id, expected) in [("c-a", true), ("c-a", false), ("c-none", false), ("a\0b", false)] {
        assert_eq!(watches::announce(store, id, 5, &event).await.unwrap(), expected, "{id:?}");
    }
    assert!(cluster_events::append(store, "c-a", &[event.clone(), event.clone()]).await.unwrap());
    for id in ["c-none", "a\0b"] {
        assert!(!cluster_events::append(store, id, std::slice::from_ref(&event)).await.unwrap());
    }
    let events = cluster_events::list(store, "c-a", "", 10).await.unwrap();
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.message == "members\u{fffd}lose"));
    assert!(events.is_sorted_by(|one, other| one.id < other.id));
}

async fn lost_rights_cause_revocations(db: &TestDb) {
    let store = &db.store;
    for name in ["user-m", "user-o", "user-r", "user-up"] {
        add_user(store, &user(name, name)).await;
    }
    for id in ["c-a", "c-b"] {
        add_active_cluster(store, id).await;
    }
    for (id, role) in [("user-m", "cluster-member"), ("user-o", "cluster-owner"), ("user-r", "read-only")] {
        add_member(store, &member_with_role("c-a", id, role)).await;
        add_member(store, &member_with_role("c-b", id, role)).await;
    }
    add_member(store, &member_with_role("c-a", "user-up", "read-only")).await;
    for role in ["cluster-member", "cluster-owner"] {
        assert!(set_role(store, "c-a:user-up", role, &audit()).await.unwrap());
    }
    assert_eq!(revocations::count(store).await.unwrap(), 0, "more rights cause no revocation");
    let revoked_users = async |cluster_id: &str| -> Vec<String> {
        let revocations = revocations::list(store, cluster_id, 10).await.unwrap();
        revocations.into_iter().map(|revocation| revocation.user_id).collect()
    };
    assert!(set_role(store, "c-a:user-o", "cluster-member", &audit()).await.unwrap());
    assert!(set_role(store, "c-a:user-m", "read-only", &audit()).await.unwrap());
    assert!(set_role(store, "c-a:user-m", "read-only", &audit()).await.unwrap());
    assert!(members::delete(store, "c-a:user-r", &audit()).await.unwrap());
    assert_eq!(revoked_users("c-a").await, ["user-m", "user-o", "user-r"]);
    // Deleting a user deletes the user's memberships.
    assert!(remove_user(store, "user-o", &audit()).await.unwrap());
    assert_eq!(revoked_users("c-b").await, ["user-o"]);
    // A disabled user keeps the memberships, but loses the rights.
    users::set_enabled(store, "user-m", false, |_| audit()).await.unwrap();
    assert_eq!(revoked_users("c-b").await, ["user-m", "user-o"]);
    users::set_enabled(store, OWNER, false, |_| audit()).await.unwrap();
    assert_eq!(revoked_users("c-b").await.len(), 3, "the owner of both clusters");
    assert!(revoked_users("c-b").await.contains(&OWNER.to_owned()));
    execute(db, "delete from cluster_revocations where cluster_id = 'c-a'").await;
    execute(db, "update clusters set owner = 'user-b' where id = 'c-a'").await;
    assert_eq!(revoked_users("c-a").await, [OWNER], "the former owner");

    assert!(revocations::pending_clusters(store, "one").await.unwrap().is_empty());
    watches::claim(store, "one", 1, 2, 10).await.unwrap();
    assert_eq!(revocations::pending_clusters(store, "one").await.unwrap(), ["c-a", "c-b"]);
    let first = revocations::list(store, "c-b", 1).await.unwrap().remove(0);
    assert!(!revocations::delete(store, &first).await.unwrap(), "the revocation is not scanned yet");
    assert!(revocations::set_scanned(store, &first, 50).await.unwrap());
    assert!(!revocations::set_scanned(store, &first, 60).await.unwrap());
    let scanned = RevocationRow { scanned_ms: Some(50), ..first.clone() };
    let last = revocations::list(store, "c-b", 10).await.unwrap().pop();
    assert_eq!(last, Some(scanned.clone()), "those that were never scanned come first");
    // A new revocation of the same user clears `scanned_ms`: the row is deleted only after it was scanned again.
    users::set_enabled(store, &first.user_id, true, |_| audit()).await.unwrap();
    users::set_enabled(store, &first.user_id, false, |_| audit()).await.unwrap();
    assert!(!revocations::delete(store, &scanned).await.unwrap());
    assert!(revocations::set_scanned(store, &first, 70).await.unwrap());
    let scanned = RevocationRow { scanned_ms: Some(70), ..first };
    assert!(revocations::delete(store, &scanned).await.unwrap());
    assert!(!revocations::delete(store, &scanned).await.unwrap());
}

async fn former_administrators_lose_rights_in_all_clusters(db: &TestDb) {
    let store = &db.store;
    for id in ["c-a", "c-b", "c-c"] {
        add_active_cluster(store, id).await;
    }
    let revoked_clusters = async |user: &str| -> Vec<&'static str> {
        let mut clusters = Vec::new();
        for id in ["c-a", "c-b", "c-c"] {
            let revocations = revocations::list(store, id, 10).await.unwrap();
            if revocations.iter().any(|revocation| revocation.user_id == user) {
                clusters.push(id);
            }
        }
        clusters
    };
    for name in ["user-x", "user-y", "user-z"] {
        let administrator = UserRow { admin: true, ..user(name, name) };
        add_user(store, &administrator).await;
    }
    // A former administrator who is an owner of a cluster keeps the rights there.
    add_member(store, &member_with_role("c-b", "user-x", "cluster-owner")).await;
    add_member(store, &member_with_role("c-c", "user-x", "cluster-member")).await;
    users::ensure(store, &user("user-x", "user-x"), Some(true), |_| audit()).await.unwrap();
    assert!(revoked_clusters("user-x").await.is_empty());
    users::ensure(store, &user("user-x", "user-x"), Some(false), |_| audit()).await.unwrap();
    assert_eq!(revoked_clusters("user-x").await, ["c-a", "c-c"]);
    users::set_enabled(store, "user-y", false, |_| audit()).await.unwrap();
    assert_eq!(revoked_clusters("user-y").await, ["c-a", "c-b", "c-c"]);
    assert!(remove_user(store, "user-z", &audit()).await.unwrap());
    assert_eq!(revoked_clusters("user-z").await, ["c-a", "c-b", "c-c"]);
}

async fn deleted_cluster_has_no_revocations(db: &TestDb) {
    let store = &db.store;
    add_user(store, &user("user-m", "m")).await;
    add_active_cluster(store, "c-a").await;
    add_member(store, &member_with_role("c-a", "user-m", "cluster-member")).await;
    watches::claim(store, "one", 1, 2, 10).await.unwrap();
    users::set_enabled(store, "user-m", false, |_| audit()).await.unwrap();
    assert_eq!(revocations::count(store).await.unwrap(), 1);
    let row = read_cluster(store, "c-a").await;
    assert!(clusters::delete_claimed(store, "c-a", row.work.fence, &[], None).await.unwrap());
    assert_eq!(revocations::count(store).await.unwrap(), 0);
    assert!(watches::renew(store, "one", 9).await.unwrap().is_empty());
}

/// Adds a cluster that has been active, and is not due.
async fn add_active_cluster(store: &Store, id: &str) {
    add_scheduled_cluster(store, id, Some(1)).await;
    let claimed = clusters::claim(store, "worker", 1, 2, 10).await.unwrap();
    let row = claimed.into_iter().find(|row| row.id == id).unwrap();
    let work = ReconcileColumns { activated_ms: Some(7), next_run_ms: None, ..row.work };
    assert!(clusters::release(store, id, &work, 1, 1, &[]).await.unwrap());
}

fn member_with_role(cluster_id: &str, user_id: &str, role: &str) -> MemberRow {
    MemberRow { role: role.to_owned(), ..member(&format!("{cluster_id}:{user_id}"), cluster_id, user_id) }
}
