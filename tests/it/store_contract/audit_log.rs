//! Audit records, alone and together with changes.

use super::*;

on_both_databases!(
    audit_records_are_filtered_and_paged,
    insert_many_updates_counts,
    nul_in_a_record_does_not_fail_the_batch,
    old_records_are_pruned_in_batches,
    change_is_written_with_its_audit_record,
    unchanged_row_has_no_audit_record,
    failed_audit_record_rolls_the_change_back
);

async fn audit_records_are_filtered_and_paged(db: &TestDb) {
    let store = &db.store;
    audit::insert_many(store, &[]).await.unwrap();
    let rows = [
        audit_record("1", 10),
        AuditRow { user_id: "user-b".to_owned(), ..audit_record("2", 20) },
        AuditRow { object_type: "cluster".to_owned(), ..audit_record("3", 20) },
        AuditRow {
            object_id: "cc-'ü\\\"\u{1F980}".to_owned(),
            action: String::new(),
            ..audit_record("4", 30)
        },
    ];
    audit::insert_many(store, &rows).await.unwrap();
    let second_batch =
        [AuditRow { outcome: "x".to_owned(), ..audit_record("1", 10) }, audit_record("5", i64::MAX)];
    audit::insert_many(store, &second_batch).await.unwrap();

    let all = Filter::default();
    let list = audit::list(store, 100, &all).await.unwrap();
    let expected: Vec<AuditRow> = [&second_batch[1]].into_iter().chain(rows.iter().rev()).cloned().collect();
    assert_eq!(list, expected);

    let ids = async |limit, filter: Filter| {
        let rows = audit::list(store, limit, &filter).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>().join(",")
    };
    let before = |at_ms, id: &str| Filter { before: Some((at_ms, id.to_owned())), ..all.clone() };
    assert_eq!(ids(2, all.clone()).await, "5,4");
    assert_eq!(ids(2, before(30, "4")).await, "3,2");
    assert_eq!(ids(2, before(20, "3")).await, "2,1");
    assert_eq!(ids(2, before(10, "1")).await, "");
    assert_eq!(ids(9, Filter { user: some("user-b"), ..all.clone() }).await, "2");
    assert_eq!(ids(9, Filter { object_type: some("cluster"), ..all.clone() }).await, "3");
    assert_eq!(ids(9, Filter { object_id: some("cc-a"), ..all.clone() }).await, "5,3,2,1");
    assert_eq!(ids(9, Filter { action: some(""), ..all.clone() }).await, "4");
}

async fn insert_many_updates_counts(db: &TestDb) {
    let store = &db.store;
    let counted =
        |count, last_ms| AuditRow { counted: Some(Count { count, last_ms }), ..audit_record("1", 10) };
    let single = audit_record("2", 5);
    for row in [counted(1, 10), counted(3, 40)] {
        audit::insert_many(store, &[row.clone(), single.clone()]).await.unwrap();
        let list = audit::list(store, 9, &Filter::default()).await.unwrap();
        assert_eq!(list, [row, single.clone()]);
    }
}

async fn nul_in_a_record_does_not_fail_the_batch(db: &TestDb) {
    let store = &db.store;
    let rows = [audit_record("1", 1), AuditRow { object_id: "a\0b".to_owned(), ..audit_record("2", 2) }];
    audit::insert_many(store, &rows).await.unwrap();
    let list = audit::list(store, 9, &Filter::default()).await.unwrap();
    assert_eq!(
        list,
        [AuditRow { object_id: "a\u{fffd}b".to_owned(), ..audit_record("2", 2) }, audit_record("1", 1)]
    );
}

async fn old_records_are_pruned_in_batches(db: &TestDb) {
    let store = &db.store;
    let rows: Vec<AuditRow> = (0..1_000).map(|n| audit_record(&format!("{n:04}"), n)).collect();
    audit::insert_many(store, &rows).await.unwrap();
    assert_eq!(audit::prune(store, 600, 500).await.unwrap(), 500);
    assert_eq!(audit::prune(store, 600, 500).await.unwrap(), 100);
    assert_eq!(audit::prune(store, 600, 500).await.unwrap(), 0);
    let remaining = audit::list(store, 1_000, &Filter::default()).await.unwrap();
    assert_eq!((remaining.len(), remaining[399].at_ms), (400, 600));
}

/// The IDs of all audit records, sorted.
async fn record_ids(store: &Store) -> Vec<String> {
    let rows = audit::list(store, 1_000, &Filter::default()).await.unwrap();
    let mut ids: Vec<String> = rows.into_iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids
}

async fn change_is_written_with_its_audit_record(db: &TestDb) {
    let store = &db.store;
    let record = |id: &str| audit_record(id, 1);
    let (event, member) = (NewClusterEvent::default(), member("c-a:m", "c-a", "user-b"));
    users::ensure(store, &user("user-b", "bob"), None, |_| record("01")).await.unwrap();
    users::ensure(store, &user("user-c", "cid"), None, |_| record("02")).await.unwrap();
    users::ensure(store, &user("user-c", "cid"), Some(true), |_| record("03")).await.unwrap();
    tokens::insert(store, &token("t", "user-b"), None, &record("04")).await.unwrap();
    tokens::upsert(store, &token("u", "user-b"), &record("05")).await.unwrap();
    tokens::delete(store, "u", &record("06")).await.unwrap();
    credentials::insert(store, &credential("cc-a"), &record("07")).await.unwrap();
    credentials::update(store, &credential("cc-a"), true, &record("08")).await.unwrap();
    clusters::insert(store, &cluster("c-a"), Some(NameScope::All), &record("09")).await.unwrap();
    let scope = Some(NameScope::VisibleTo(OWNER));
    clusters::update(store, &cluster("c-a"), None, scope, &record("10")).await.unwrap();
    members::insert(store, &member, &record("11")).await.unwrap();
    set_role(store, &member.id, "read-only", &record("12")).await.unwrap();
    members::delete(store, &member.id, &record("13")).await.unwrap();
    let registration = registration_token("c-a", "x");
    registration_tokens::insert(store, &registration, &sealed("k1"), &record("14")).await.unwrap();
    registration_tokens::delete(store, "c-a", "x", &record("15")).await.unwrap();
    clusters::remove(store, "c-a", |_| (event.clone(), record("16"))).await.unwrap();
    credentials::delete(store, "cc-a", 1, |_| record("17")).await.unwrap().unwrap();
    let setting = SettingRow { name: "s".to_owned(), value: "1".to_owned(), updated_ms: 1 };
    settings::put(store, &setting, &record("18")).await.unwrap();
    settings::delete(store, "s", &record("19")).await.unwrap();
    remove_user(store, "user-c", &record("20")).await.unwrap();
    audit::insert(store, &record("21")).await.unwrap();
    let expected_ids: Vec<String> = (1..=21).map(|number| format!("{number:02}")).collect();
    assert_eq!(record_ids(store).await, expected_ids);
    let nul = AuditRow { request_id: "a\0b".to_owned(), ..record("22") };
    settings::put(store, &setting, &nul).await.unwrap();
    let filter = Filter { until_ms: Some(2), ..Filter::default() };
    let last = audit::list(store, 1, &filter).await.unwrap().remove(0);
    assert_eq!(last, AuditRow { request_id: "a\u{fffd}b".to_owned(), ..record("22") });
}

async fn unchanged_row_has_no_audit_record(db: &TestDb) {
    let store = &db.store;
    add_user(store, &user("user-b", "bob")).await;
    add_token(store, &token("t", "user-b")).await;
    add_credential(store, &credential("cc-a")).await;
    let cluster_with_credential = ClusterRow { credential_id: some("cc-a"), ..cluster("c-a") };
    add_cluster(store, &cluster_with_credential).await;
    let before = record_ids(store).await;
    users::ensure(store, &user("user-b", "x"), None, |_| audit()).await.unwrap_err();
    let ensured = users::ensure(store, &user("user-x", "bob"), Some(false), |_| audit()).await.unwrap();
    assert_eq!(ensured, Ensured::Unchanged(user("user-b", "bob")));
    assert!(!remove_user(store, "user-x", &audit()).await.unwrap());
    assert!(!tokens::upsert(store, &token("t", "user-b"), &audit()).await.unwrap());
    assert!(!tokens::delete(store, "x", &audit()).await.unwrap());
    let missing = tokens::insert(store, &token("u", "user-b"), Some("x"), &audit()).await.unwrap_err();
    assert!(matches!(missing, Error::Conflict { table: "tokens", .. }), "{missing:?}");
    let changed = CredentialRow { subscription_id: None, ..credential("cc-a") };
    let in_use = credentials::update(store, &changed, true, &audit()).await.unwrap_err();
    assert!(matches!(in_use, Error::InUse { table: "credentials", .. }), "{in_use:?}");
    assert_eq!(delete_credential(store, "cc-x", 1).await, None);
    let erased = credentials::erase(store, "cc-x", |_| audit()).await.unwrap();
    assert_eq!(erased, None);
    let outdated = CredentialRow { version: 9, ..credential("cc-a") };
    credentials::update(store, &outdated, false, &audit()).await.unwrap_err();
    let outdated = ClusterRow { version: 9, ..cluster_with_credential.clone() };
    clusters::update(store, &outdated, None, None, &audit()).await.unwrap_err();
    let scope = Some(NameScope::VisibleTo(OWNER));
    let taken = clusters::insert(store, &cluster("c-b"), scope, &audit()).await.unwrap_err();
    assert!(matches!(taken, Error::Duplicate { what: UniqueConstraint::ClusterName }), "{taken:?}");
    assert!(
        clusters::remove(store, "c-x", |_| -> (NewClusterEvent, AuditRow) { unreachable!("there is none") })
            .await
            .unwrap()
            .is_none()
    );
    assert!(!set_role(store, "x", "read-only", &audit()).await.unwrap());
    assert!(!members::delete(store, "x", &audit()).await.unwrap());
    assert!(!registration_tokens::delete(store, "c-a", "x", &audit()).await.unwrap());
    assert!(!settings::delete(store, "x", &audit()).await.unwrap());
    assert_eq!(record_ids(store).await, before);
}

async fn failed_audit_record_rolls_the_change_back(db: &TestDb) {
    let store = &db.store;
    let record = audit();
    users::ensure(store, &user("user-b", "bob"), None, |_| record.clone()).await.unwrap();
    // The first change wrote a record with this ID.
    credentials::insert(store, &credential("cc-a"), &record).await.unwrap_err();
    assert_eq!(find_credential(store, "cc-a").await, None);
    remove_user(store, "user-b", &record).await.unwrap_err();
    assert!(users::get(store, "user-b").await.unwrap().is_some());
    clusters::insert(store, &cluster("c-a"), None, &record).await.unwrap_err();
    assert_eq!(clusters::get(store, "c-a").await.unwrap(), None);
}
