//! The worker's side of clusters: leases, events, and secrets of clusters.

use super::*;

on_both_databases!(
    release_all_frees_leases_of_dead_workers,
    due_clusters_are_claimed_by_one_worker,
    user_change_and_work_do_not_overwrite_each_other,
    cluster_events_are_listed_after_an_id,
    agent_rollouts_are_limited,
    cluster_secrets_are_rewrapped_and_deleted_with_cluster,
    registration_tokens_are_unique_by_name,
    woken_cluster_is_due_again_after_its_lease,
    agent_sessions_are_listed_for_other_running_servers
);

async fn release_all_frees_leases_of_dead_workers(db: &TestDb) {
    let store = &db.store;
    for id in ["c-1", "c-2"] {
        add_scheduled_cluster(store, id, Some(10)).await;
    }
    let held = clusters::claim(store, "dead", 100, 1_000, 1).await.unwrap();
    assert_eq!(clusters::release_all(store).await.unwrap(), 1, "one cluster was claimed");
    let claimed = clusters::claim(store, "new", 101, 1_000, 10).await.unwrap();
    assert_eq!(claimed.len(), 2);
    let held_cluster = &held[0];
    assert!(
        !clusters::record(store, &held_cluster.id, &held_cluster.work, 1, 102).await.unwrap(),
        "the fencing token is old"
    );
}

async fn due_clusters_are_claimed_by_one_worker(db: &TestDb) {
    let store = &db.store;
    for (id, next_run_ms) in
        [("c-late", Some(50)), ("c-first", Some(10)), ("c-idle", None), ("c-future", Some(101))]
    {
        add_scheduled_cluster(store, id, next_run_ms).await;
    }
    let claimed = clusters::claim(store, "a", 100, 200, 10).await.unwrap();
    let mut ids: Vec<_> = claimed.iter().map(|row| row.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["c-first", "c-late"]);
    assert!(
        clusters::claim(store, "b", 100, 300, 10).await.unwrap().is_empty(),
        "the due clusters are claimed"
    );
    clusters::wake_all(store, 95).await.unwrap();
    let read_next_run = async |id| read_cluster(store, id).await.work.next_run_ms;
    assert_eq!(
        (read_next_run("c-future").await, read_next_run("c-late").await, read_next_run("c-idle").await),
        (Some(95), Some(50), None)
    );

    let first = claimed.into_iter().find(|row| row.id == "c-first").unwrap();
    let work = ReconcileColumns {
        phase: "creating".to_owned(),
        claimed: true,
        status: r#"{"x":1}"#.to_owned(),
        operation: some("op"),
        attempts: 3,
        next_run_ms: Some(500),
        ..first.work.clone()
    };
    assert!(clusters::record(store, "c-first", &work, 1, 100).await.unwrap());
    assert_eq!(read_cluster(store, "c-first").await.work, work);
    let others = clusters::claim(store, "b", 199, 300, 10).await.unwrap();
    assert!(others.iter().all(|row| row.id != "c-first"), "the lease is unchanged");
    let rescheduled = ReconcileColumns { next_run_ms: Some(240), ..work.clone() };
    assert!(clusters::release(store, "c-first", &rescheduled, 1, 100, &[]).await.unwrap());

    // Another worker claims the cluster; writes of the first worker are rejected.
    let reclaimed = clusters::claim(store, "b", 241, 300, 10).await.unwrap();
    let reclaimed = reclaimed.iter().find(|row| row.id == "c-first").unwrap();
    assert_eq!(reclaimed.work.fence, work.fence + 1);
    assert!(!clusters::record(store, "c-first", &work, 1, 100).await.unwrap());
    assert!(!clusters::delete_claimed(store, "c-first", work.fence, &[], None).await.unwrap());
    assert!(clusters::delete_claimed(store, "c-first", reclaimed.work.fence, &[], None).await.unwrap());
    assert!(clusters::get(store, "c-first").await.unwrap().is_none());
}

async fn agent_rollouts_are_limited(db: &TestDb) {
    let store = &db.store;
    for id in ["c-1", "c-2", "c-3"] {
        add_scheduled_cluster(store, id, Some(10)).await;
    }
    let fence = clusters::claim(store, "a", 10, 1_000, 10).await.unwrap()[0].work.fence;
    let begin_rollout =
        async |id, now_ms| clusters::begin_rollout(store, id, fence, now_ms, now_ms + 100, 2).await.unwrap();
    assert!(begin_rollout("c-1", 10).await && begin_rollout("c-2", 20).await);
    assert!(!begin_rollout("c-3", 30).await, "two other clusters have a rollout");
    assert!(begin_rollout("c-1", 30).await, "the cluster has a rollout itself");
    // A rollout ends after its time, or when it is ended explicitly.
    assert!(begin_rollout("c-3", 120).await);
    assert!(!begin_rollout("c-2", 121).await);
    clusters::end_rollout(store, "c-1", fence, None).await.unwrap();
    assert!(begin_rollout("c-2", 121).await);
    // Without the lease, no rollout can start.
    assert!(!clusters::begin_rollout(store, "c-1", fence - 1, 500, 600, 2).await.unwrap());
}

async fn user_change_and_work_do_not_overwrite_each_other(db: &TestDb) {
    let store = &db.store;
    add_scheduled_cluster(store, "c-a", Some(10)).await;
    let held = clusters::claim(store, "a", 10, 100, 1).await.unwrap().remove(0);
    let changed =
        ClusterRow { spec: r#"{"new":1}"#.to_owned(), generation: 2, review: some("[]"), ..held.clone() };
    assert_eq!(clusters::update(store, &changed, Some(NextRun(20)), None, &audit()).await.unwrap(), 2);
    let work = ReconcileColumns {
        applied_generation: 1,
        applied_spec: some("{}"),
        activated_ms: Some(30),
        next_run_ms: Some(90_000),
        ..held.work.clone()
    };
    assert!(!clusters::refresh_spec(store, "c-a", held.work.fence, held.version, "{}").await.unwrap());
    assert!(clusters::release(store, "c-a", &work, held.generation, 31, &[]).await.unwrap());
    let row = read_cluster(store, "c-a").await;
    assert_eq!((row.spec.as_str(), row.generation, row.work.applied_generation), (r#"{"new":1}"#, 2, 1));
    assert_eq!(row.work.next_run_ms, Some(31), "the user's change is processed soon");
    clusters::wake_all(store, 25).await.unwrap();
    clusters::wake_all(store, 99).await.unwrap();
    assert_eq!(read_cluster(store, "c-a").await.work.next_run_ms, Some(25));
    assert!(clusters::refresh_spec(store, "c-a", row.work.fence, row.version, r#"{"b":1}"#).await.unwrap());
    let row = read_cluster(store, "c-a").await;
    assert_eq!((row.spec.as_str(), row.version, row.generation), (r#"{"b":1}"#, 3, 2));
}

async fn cluster_events_are_listed_after_an_id(db: &TestDb) {
    let store = &db.store;
    let event_at = |at_ms| NewClusterEvent {
        at_ms,
        kind: "step".to_owned(),
        message: format!("at {at_ms}\0"),
        data: "{}".to_owned(),
    };
    let list = async |id: &str, after: &str, limit| {
        let rows = cluster_events::list(store, id, after, limit).await.unwrap();
        assert!(rows.is_sorted_by(|a, b| a.id < b.id), "{rows:?}");
        rows
    };
    let times = |rows: &[ClusterEventRow]| rows.iter().map(|row| row.at_ms).collect::<Vec<_>>();
    for id in ["c-a", "c-b"] {
        add_scheduled_cluster(store, id, Some(1)).await;
    }
    let held = clusters::claim(store, "w", 1, 2, 10).await.unwrap();
    let work = held.into_iter().find(|row| row.id == "c-a").unwrap().work;
    let stale = ReconcileColumns { fence: work.fence - 1, ..work.clone() };
    assert!(!clusters::release(store, "c-a", &stale, 1, 1, &[event_at(0)]).await.unwrap());
    assert!(!clusters::delete_claimed(store, "c-a", stale.fence, &[event_at(0)], None).await.unwrap());
    for at_ms in 1..=3 {
        let events = [event_at(at_ms), event_at(at_ms * 10)];
        assert!(clusters::release(store, "c-a", &work, 1, 1, &events).await.unwrap());
    }
    let all = list("c-a", "", 10).await;
    assert_eq!(times(&all), [1, 10, 2, 20, 3, 30]);
    assert_eq!(all[0].message, "at 1\u{fffd}", "NUL is replaced");
    assert_eq!(list("c-a", &all[0].id, 2).await, all[1..3]);
    assert!(list("c-b", "", 10).await.is_empty());

    let records = |row: &ClusterRow| (NewClusterEvent { message: row.name.clone(), ..event_at(4) }, audit());
    let removed = clusters::remove(store, "c-a", records).await.unwrap().unwrap();
    assert_eq!((removed.id.as_str(), removed.work.fence), ("c-a", work.fence));
    assert_eq!(list("c-a", &all[5].id, 10).await[0].message, removed.name);
    assert!(clusters::remove(store, "c-a", records).await.unwrap().is_none());
    assert!(!clusters::release(store, "c-a", &work, 1, 1, &[event_at(5)]).await.unwrap());
    assert_eq!(list("c-a", "", 10).await.len(), 7, "no event follows the deletion");

    assert_eq!(cluster_events::prune(store, 3, 1).await.unwrap(), 1);
    assert_eq!(cluster_events::prune(store, 3, 10).await.unwrap(), 1);
    assert_eq!(times(&list("c-a", "", 10).await), [10, 20, 3, 30, 4]);
    assert_eq!(cluster_events::prune_to(store, 3, 1).await.unwrap(), 1);
    assert_eq!(cluster_events::prune_to(store, 3, 10).await.unwrap(), 1);
    assert_eq!(times(&list("c-a", "", 10).await), [3, 30, 4], "the newest remain");
    let work = ReconcileColumns { fence: 1, ..work };
    assert!(clusters::release(store, "c-b", &work, 1, 1, &[event_at(6)]).await.unwrap());
    for id in ["c-a", "c-b"] {
        cluster_events::delete_orphaned(store, id).await.unwrap();
    }
    assert!(list("c-a", "", 10).await.is_empty(), "no cluster has this ID");
    assert_eq!(times(&list("c-b", "", 10).await), [6]);
}

async fn cluster_secrets_are_rewrapped_and_deleted_with_cluster(db: &TestDb) {
    let store = &db.store;
    add_cluster(store, &cluster("c-a")).await;
    let missing = cluster_secrets::put(store, "c-none", "n", &sealed("k1"), 1).await;
    assert!(matches!(missing, Err(Error::Dangling { .. })));
    cluster_secrets::put(store, "c-a", "token", &sealed("k0"), 1).await.unwrap();
    cluster_secrets::put(store, "c-a", "token", &sealed("k1"), 2).await.unwrap();
    cluster_secrets::put(store, "c-a", "other", &sealed("k2"), 2).await.unwrap();
    assert_eq!(cluster_secrets::get(store, "c-a", "token").await.unwrap(), Some(sealed("k1")));
    assert_eq!(cluster_secrets::key_ids(store).await.unwrap(), ["k1", "k2"]);
    let page = cluster_secrets::sealed_by_others(store, "k2", ("", ""), 10).await.unwrap();
    assert_eq!(page, [("c-a".to_owned(), "token".to_owned(), sealed("k1"))]);
    assert_eq!(cluster_secrets::sealed_by(store, "k1", 10).await.unwrap(), page);
    assert_eq!(cluster_secrets::sealed_by(store, "k1", 0).await.unwrap(), []);
    let rewrapped = EncryptedColumns { wrapped_key: vec![7], ..sealed("k2") };
    assert!(cluster_secrets::rewrap(store, "c-a", "token", &sealed("k1"), &rewrapped).await.unwrap());
    assert!(!cluster_secrets::rewrap(store, "c-a", "token", &sealed("k1"), &rewrapped).await.unwrap());
    let event =
        NewClusterEvent { kind: "gone".to_owned(), data: "{}".to_owned(), ..NewClusterEvent::default() };
    for (removed, events) in [(true, 1), (false, 1)] {
        let outcome = cluster_secrets::delete_with_event(store, "c-a", "token", &event).await;
        assert_eq!(outcome.unwrap(), removed);
        assert_eq!(cluster_events::list(store, "c-a", "", 9).await.unwrap().len(), events);
    }
    assert!(remove_cluster(store, "c-a").await);
    assert_eq!(cluster_secrets::key_ids(store).await.unwrap(), Vec::<String>::new());
}

async fn registration_tokens_are_unique_by_name(db: &TestDb) {
    let store = &db.store;
    add_cluster(store, &cluster("c-a")).await;
    let row = registration_token("c-a", "default-token");
    let stored_secret = async || {
        let name = registration_tokens::secret_name("default-token");
        cluster_secrets::get(store, "c-a", &name).await.unwrap()
    };
    assert!(registration_tokens::insert(store, &row, &sealed("k1"), &audit()).await.unwrap());
    assert_eq!(registration_tokens::find(store, &row.hash).await.unwrap(), Some(row.clone()));
    assert_eq!(registration_tokens::find(store, &vec![0; 32]).await.unwrap(), None);
    assert_eq!(registration_tokens::hashes(store).await.unwrap(), std::slice::from_ref(&row.hash));
    let other = RegistrationTokenRow { uuid: "v".to_owned(), hash: vec![9; 32], ..row.clone() };
    assert!(!registration_tokens::insert(store, &other, &sealed("k2"), &audit()).await.unwrap());
    assert_eq!(stored_secret().await, Some(sealed("k1")), "the first token is unchanged");
    assert_eq!(registration_tokens::get(store, "c-a", "default-token").await.unwrap(), Some(row.clone()));
    assert_eq!(registration_tokens::list(store, "c-a").await.unwrap(), std::slice::from_ref(&row));
    let nowhere = RegistrationTokenRow { cluster_id: "c-none".to_owned(), hash: vec![8; 32], ..row };
    let dangling = registration_tokens::insert(store, &nowhere, &sealed("k1"), &audit()).await;
    assert!(matches!(dangling, Err(Error::Dangling { .. })));
    assert!(registration_tokens::delete(store, "c-a", "default-token", &audit()).await.unwrap());
    assert!(!registration_tokens::delete(store, "c-a", "default-token", &audit()).await.unwrap());
    assert_eq!(stored_secret().await, None, "the secret is deleted with its token");
}

async fn woken_cluster_is_due_again_after_its_lease(db: &TestDb) {
    let store = &db.store;
    add_scheduled_cluster(store, "c-a", Some(10)).await;
    let read_next_run = async || read_cluster(store, "c-a").await.work.next_run_ms;
    let held = clusters::claim(store, "a", 100, 200, 1).await.unwrap().remove(0);
    let work = ReconcileColumns { next_run_ms: Some(5_000), ..held.work.clone() };
    assert!(clusters::wake(store, "c-a").await.unwrap());
    assert!(!clusters::wake(store, "c-none").await.unwrap());
    assert!(clusters::record(store, "c-a", &work, 1, 110).await.unwrap());
    assert!(clusters::release(store, "c-a", &work, 1, 120, &[]).await.unwrap());
    assert_eq!(read_next_run().await, Some(120), "immediately, not at the time that the worker set");
    clusters::wake(store, "c-a").await.unwrap();
    let held = clusters::claim(store, "a", 130, 200, 1).await.unwrap().remove(0);
    let work = ReconcileColumns { next_run_ms: Some(5_000), ..held.work.clone() };
    assert!(clusters::release(store, "c-a", &work, 1, 140, &[]).await.unwrap());
    assert_eq!(read_next_run().await, Some(5_000), "the wake-up was processed");
}

async fn agent_sessions_are_listed_for_other_running_servers(db: &TestDb) {
    let store = &db.store;
    for id in ["c-a", "c-b"] {
        add_cluster(store, &cluster(id)).await;
    }
    for (id, seen_ms, address) in [
        ("own", 100, Some("own:1")),
        ("other", 100, Some("other:1")),
        ("dead", 10, Some("dead:1")),
        ("silent", 100, None),
    ] {
        let replica = ReplicaRow {
            id: id.to_owned(),
            started_ms: 1,
            seen_ms,
            key_ids: Vec::new(),
            capabilities: Vec::new(),
            address: address.map(str::to_owned),
        };
        replicas::upsert_heartbeat(store, &replica).await.unwrap();
        agent_sessions::put(store, "c-a", id).await.unwrap();
    }
    for (cluster_id, replica_id) in [("c-a", "other"), ("c-b", "other"), ("c-none", "other"), ("c-a", "none")]
    {
        agent_sessions::put(store, cluster_id, replica_id).await.unwrap();
    }
    let list_others = async || -> Vec<(String, String)> {
        let rows = agent_sessions::list_others(store, "own", 50).await.unwrap().into_iter();
        rows.map(|row| (row.cluster_id, row.address)).collect()
    };
    let pair = |id: &str, address: &str| (id.to_owned(), address.to_owned());
    assert_eq!(list_others().await, [pair("c-a", "other:1"), pair("c-b", "other:1")]);
    agent_sessions::delete(store, "c-b", "other").await.unwrap();
    assert_eq!(list_others().await, [pair("c-a", "other:1")]);
    assert!(remove_cluster(store, "c-a").await);
    assert_eq!(list_others().await, []);
}
