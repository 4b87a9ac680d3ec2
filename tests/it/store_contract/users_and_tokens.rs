//! Users and tokens.

use super::*;

on_both_databases!(
    users_are_unique_by_name,
    tokens_are_read_with_their_users,
    upsert_replaces_a_token,
    delete_expired_keeps_valid_tokens,
    last_administrator_survives_every_race,
    no_object_is_left_without_an_owner,
    users_are_disabled_and_removed_with_their_records,
);

fn administrator(id: &str) -> UserRow {
    UserRow { admin: true, ..user(id, id) }
}

async fn users_are_unique_by_name(db: &TestDb) {
    let store = &db.store;
    add_user(store, &user("user-b", "bob")).await;
    let ensured = users::ensure(store, &user("user-c", "bob"), None, |_| audit()).await.unwrap();
    assert_eq!(ensured, Ensured::Unchanged(user("user-b", "bob")));
    let ann = user("user-a", "ann");
    let ensured = users::ensure(store, &ann, None, |_| audit()).await.unwrap();
    assert_eq!(ensured, Ensured::Created(ann.clone()));
    let ann_as_admin = UserRow { admin: true, ..ann };
    for (admin, expected) in [
        (Some(true), Ensured::Changed(ann_as_admin.clone())),
        (Some(true), Ensured::Unchanged(ann_as_admin.clone())),
        (None, Ensured::Unchanged(ann_as_admin.clone())),
    ] {
        let ensured = users::ensure(store, &user("user-x", "ann"), admin, |_| audit()).await;
        assert_eq!(ensured.unwrap(), expected);
    }
    let taken = users::ensure(store, &user("user-a", "cid"), None, |_| audit()).await.unwrap_err();
    assert!(matches!(taken, Error::Duplicate { what: UniqueConstraint::UserId }), "{taken:?}");
    let dan = UserRow { admin: true, ..user("user-d", "dan") };
    let ensured = users::ensure(store, &user("user-d", "dan"), Some(true), |_| audit()).await.unwrap();
    assert_eq!(ensured, Ensured::Created(dan.clone()));

    assert_eq!(users::get(store, "user-a").await.unwrap(), Some(ann_as_admin.clone()));
    assert_eq!(users::get(store, "user-z").await.unwrap(), None);
    assert_eq!(users::find(store, "bob").await.unwrap(), [user("user-b", "bob")]);
    add_user(store, &user("user-n", "user-b")).await;
    let found = users::find(store, "user-b").await.unwrap();
    assert_eq!(
        found,
        [user("user-b", "bob"), user("user-n", "user-b")],
        "one user by ID and another by name"
    );
    assert!(remove_user(store, "user-n", &audit()).await.unwrap());
    assert!(users::find(store, "nobody").await.unwrap().is_empty());
    let mut listed = users::list(store).await.unwrap();
    listed.retain(|user| user.id.starts_with("user-"));
    assert_eq!(listed, [ann_as_admin, user("user-b", "bob"), dan]);
    add_token(store, &token("t", "user-b")).await;
    assert!(remove_user(store, "user-b", &audit()).await.unwrap());
    assert!(!remove_user(store, "user-b", &audit()).await.unwrap());
    assert_eq!(tokens::find(store, "t").await.unwrap(), None, "tokens are deleted with their user");
}

async fn tokens_are_read_with_their_users(db: &TestDb) {
    let store = &db.store;
    let (ann, bob) = (user("user-a", "ann"), user("user-b", "bob"));
    add_user(store, &ann).await;
    add_user(store, &bob).await;
    let first = TokenRow { expires_ms: Some(99), last_used_ms: Some(11), ..token("token-1", "user-a") };
    let second = TokenRow { created_ms: 9, ..token("token-2", "user-b") };
    add_token(store, &first).await;
    add_token(store, &second).await;
    let taken = tokens::insert(store, &token("token-1", "user-b"), None, &audit()).await.unwrap_err();
    assert!(matches!(taken, Error::Duplicate { what: UniqueConstraint::TokenName }), "{taken:?}");
    let dangling = tokens::insert(store, &token("token-3", "user-z"), None, &audit()).await.unwrap_err();
    assert!(matches!(&dangling, Error::Dangling { table: "tokens", id } if id == "token-3"), "{dangling:?}");

    assert_eq!(tokens::find(store, "token-1").await.unwrap(), Some((first.clone(), ann.clone())));
    assert_eq!(tokens::find(store, "token-9").await.unwrap(), None);
    assert!(!tokens::exists_for_administrator(store).await.unwrap());
    add_token(store, &token("token-admin", OTHER_OWNER)).await;
    assert!(tokens::exists_for_administrator(store).await.unwrap());
    assert!(tokens::delete(store, "token-admin", &audit()).await.unwrap());
    let all = tokens::list(store, None).await.unwrap();
    assert_eq!(all, [(second.clone(), bob), (first.clone(), ann.clone())]);
    assert_eq!(tokens::list(store, Some("user-a")).await.unwrap(), [(first.clone(), ann.clone())]);
    assert!(tokens::list(store, Some("user-z")).await.unwrap().is_empty());

    for at_ms in [50, 40] {
        tokens::touch(store, "token-1", at_ms).await.unwrap();
        let (row, _) = tokens::find(store, "token-1").await.unwrap().unwrap();
        assert_eq!(row.last_used_ms, Some(50), "an earlier use is ignored");
    }
    tokens::touch(store, "token-2", 60).await.unwrap();
    tokens::touch(store, "token-9", 50).await.unwrap();
    let (row, _) = tokens::find(store, "token-2").await.unwrap().unwrap();
    assert_eq!(row.last_used_ms, Some(60));
    assert!(tokens::delete(store, "token-1", &audit()).await.unwrap());
    assert!(!tokens::delete(store, "token-1", &audit()).await.unwrap());
}

async fn upsert_replaces_a_token(db: &TestDb) {
    let store = &db.store;
    add_user(store, &user("user-a", "ann")).await;
    add_user(store, &user("user-b", "bob")).await;
    let read_row = async || tokens::find(store, "t").await.unwrap().unwrap().0;
    assert!(
        tokens::upsert(store, &TokenRow { expires_ms: Some(1), ..token("t", "user-a") }, &audit())
            .await
            .unwrap()
    );
    assert_eq!(read_row().await.expires_ms, Some(1));
    assert!(tokens::upsert(store, &token("t", "user-a"), &audit()).await.unwrap());
    assert_eq!(read_row().await, token("t", "user-a"));
    let later = TokenRow { created_ms: 77, ..token("t", "user-a") };
    assert!(
        !tokens::upsert(store, &later, &audit()).await.unwrap(),
        "a new creation time alone changes nothing"
    );
    assert_eq!(read_row().await.created_ms, 10);
    let other = TokenRow { hash: vec![1], created_ms: 78, ..token("t", "user-b") };
    assert!(tokens::upsert(store, &other, &audit()).await.unwrap());
    assert_eq!(read_row().await, other);
    let dangling = tokens::upsert(store, &token("t", "user-z"), &audit()).await.unwrap_err();
    assert!(matches!(dangling, Error::Dangling { .. }), "{dangling:?}");
}

async fn delete_expired_keeps_valid_tokens(db: &TestDb) {
    let store = &db.store;
    add_user(store, &user("user-a", "ann")).await;
    for (name, expires_ms) in [("past", Some(99)), ("now", Some(100)), ("later", Some(101)), ("never", None)]
    {
        let row = TokenRow { expires_ms, ..token(name, "user-a") };
        tokens::insert(store, &row, None, &audit()).await.unwrap();
    }
    assert_eq!(tokens::delete_expired(store, 100).await.unwrap(), 2);
    let remaining = tokens::list(store, None).await.unwrap();
    assert_eq!(
        remaining.iter().map(|(token, _)| token.name.as_str()).collect::<Vec<_>>(),
        ["later", "never"]
    );
}

async fn last_administrator_survives_every_race(db: &TestDb) {
    let other_store = Store::connect(&db.url, &Options::default()).await.unwrap();
    for round in 0..6 {
        let ids: Vec<String> = (0..3).map(|number| format!("user-{round}-{number}")).collect();
        for id in &ids {
            users::ensure(&db.store, &administrator(id), None, |_| audit()).await.unwrap();
        }
        // Remove all other users, so that one of these can become the last administrator.
        for earlier in users::list(&db.store).await.unwrap() {
            if !ids.contains(&earlier.id) {
                users::remove(&db.store, &earlier.id, None, |_| vec![audit()]).await.unwrap();
            }
        }
        let mut attempts = tokio::task::JoinSet::new();
        for (number, id) in ids.iter().cycle().take(9).enumerate() {
            let store = if number % 2 == 0 { db.store.clone() } else { other_store.clone() };
            let id = id.clone();
            attempts.spawn(async move {
                let outcome = match number % 4 {
                    0 | 3 => users::set_enabled(&store, &id, false, |_| audit()).await.map(drop),
                    1 => users::remove(&store, &id, None, |_| vec![audit()]).await.map(drop),
                    _ => users::ensure(&store, &user(&id, &id), Some(false), |_: &Ensured| audit())
                        .await
                        .map(drop),
                };
                match outcome {
                    Ok(())
                    | Err(Error::LastAdministrator | Error::Disabled { .. } | Error::Conflict { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            });
        }
        while let Some(attempt) = attempts.join_next().await {
            attempt.unwrap();
        }
        let remaining = users::list(&db.store).await.unwrap();
        let remaining: Vec<_> = remaining.into_iter().filter(|user| user.admin && user.enabled).collect();
        assert!(!remaining.is_empty(), "round {round}");
    }
}

async fn no_object_is_left_without_an_owner(db: &TestDb) {
    let other_store = Store::connect(&db.url, &Options::default()).await.unwrap();
    users::ensure(&db.store, &administrator("user-heir"), None, |_| audit()).await.unwrap();
    for round in 0..8 {
        let owner = format!("user-{round}");
        users::ensure(&db.store, &user(&owner, &owner), None, |_| audit()).await.unwrap();
        let mut attempts = tokio::task::JoinSet::new();
        for number in 0..6 {
            let store = if number % 2 == 0 { db.store.clone() } else { other_store.clone() };
            let (owner, name) = (owner.clone(), format!("{round}-{number}"));
            attempts.spawn(async move {
                let outcome = match number {
                    3 => {
                        let removal =
                            users::remove(&store, &owner, Some("user-heir"), |_| vec![audit()]).await;
                        assert!(matches!(removal, Ok(Removal::Done(_))), "{removal:?}");
                        return;
                    }
                    0 | 5 => {
                        credentials::insert(
                            &store,
                            &CredentialRow { owner, ..credential(&format!("cc-{name}")) },
                            &audit(),
                        )
                        .await
                    }
                    _ => {
                        clusters::insert(
                            &store,
                            &ClusterRow { owner, ..cluster(&format!("c-{name}")) },
                            None,
                            &audit(),
                        )
                        .await
                    }
                };
                assert!(matches!(outcome, Ok(()) | Err(Error::NoOwner { .. })), "{outcome:?}");
            });
        }
        while let Some(attempt) = attempts.join_next().await {
            attempt.unwrap();
        }
    }
    let clusters = clusters::list(&db.store, None).await.unwrap();
    let credentials = credentials::list(&db.store, None).await.unwrap();
    let owners = clusters.iter().map(|row| &row.owner).chain(credentials.iter().map(|row| &row.owner));
    assert!(owners.clone().all(|owner| owner == "user-heir"), "{:?}", owners.collect::<Vec<_>>());
}

async fn users_are_disabled_and_removed_with_their_records(db: &TestDb) {
    let store = &db.store;
    // Without the owners, `user-a` is the last administrator.
    databases::execute_on(&db.url, "delete from users").await;
    let ben = user("user-b", "user-b");
    let owned_cluster = ClusterRow { owner: ben.id.clone(), ..cluster("c-x") };
    let owned_credential = CredentialRow { owner: ben.id.clone(), ..credential("cc-x") };
    users::ensure(store, &administrator("user-a"), None, |_| audit()).await.unwrap();
    users::ensure(store, &ben, None, |_| audit()).await.unwrap();
    assert_eq!(users::set_enabled(store, "user-z", false, |_| audit()).await.unwrap(), None);
    assert_eq!(users::set_enabled(store, "user\0", false, |_| audit()).await.unwrap(), None);
    let last = users::set_enabled(store, "user-a", false, |_| audit()).await;
    assert!(matches!(last, Err(Error::LastAdministrator)), "{last:?}");
    let disabled = UserRow { enabled: false, ..ben.clone() };
    let changed = users::set_enabled(store, "user-b", false, |_| audit()).await.unwrap();
    assert_eq!(changed, Some(disabled.clone()));
    let unchanged = users::set_enabled(store, "user-b", false, |_| unreachable!("nothing changed")).await;
    assert_eq!(unchanged.unwrap(), Some(disabled.clone()));
    let rejected = clusters::insert(store, &owned_cluster, None, &audit()).await;
    assert!(matches!(rejected, Err(Error::NoOwner { .. })), "{rejected:?}");
    let rejected = users::ensure(store, &ben, None, |_: &Ensured| audit()).await;
    assert!(matches!(rejected, Err(Error::Disabled { .. })), "{rejected:?}");
    users::set_enabled(store, "user-b", true, |_| audit()).await.unwrap();
    clusters::insert(store, &owned_cluster, None, &audit()).await.unwrap();
    credentials::insert(store, &owned_credential, &audit()).await.unwrap();
    let owned = users::owned(store, "user-b").await.unwrap();
    assert_eq!((owned.clusters[0].id.as_str(), owned.credentials[0].id.as_str()), ("c-x", "cc-x"));
    let account = users::accounts(store, Some("user-b"), 5).await.unwrap().remove(0);
    assert_eq!((account.clusters, account.credentials, account.tokens), (1, 1, 0));
    let no_records = |_: &users::RemovedUser| -> Vec<AuditRow> { unreachable!("nothing changed") };
    let removal = users::remove(store, "user-b", None, no_records).await.unwrap();
    assert_eq!(removal, Removal::Owns(ben.clone(), owned.clone()));
    for new_owner in ["user-b", "user-z", "user\0"] {
        assert_eq!(
            users::remove(store, "user-b", Some(new_owner), no_records).await.unwrap(),
            Removal::NoNewOwner
        );
    }
    assert_eq!(users::remove(store, "user-z", None, no_records).await.unwrap(), Removal::NoUser);
    // The second record cannot be written, because its ID is taken. The removal is rolled back.
    let record = audit();
    let failed =
        users::remove(store, "user-b", Some("user-a"), |_| vec![record.clone(), record.clone()]).await;
    assert!(failed.is_err());
    assert_eq!(users::owned(store, "user-b").await.unwrap(), owned);
    let done = users::remove(store, "user-b", Some("user-a"), |_| vec![audit()]).await.unwrap();
    let Removal::Done(done) = done else { panic!("{done:?}") };
    assert_eq!((done.new_owner, done.owned.clone()), (Some(administrator("user-a")), owned.clone()));
    assert_eq!(users::owned(store, "user-a").await.unwrap(), owned);
    assert_eq!(clusters::get(store, "c-x").await.unwrap().unwrap().version, 2);
}
