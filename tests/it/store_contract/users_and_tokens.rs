//! Users and tokens.

use super::*;

on_both_databases!(
    users_are_unique_by_name,
    tokens_are_read_with_their_users,
    put_replaces_a_token,
    delete_expired_keeps_valid_tokens
);

async fn users_are_unique_by_name(db: &TestDb) {
    let store = &db.store;
    add_user(store, &user("user-b", "bob")).await;
    let ensured = users::ensure(store, &user("user-c", "bob"), None, |_| audit()).await.unwrap();
    assert_eq!(ensured, Ensured::Unchanged(user("user-b", "bob")));
    let ann = user("user-a", "ann");
    let ensured = users::ensure(store, &ann, None, |_| audit()).await.unwrap();
    assert_eq!(ensured, Ensured::Created(ann.clone()));
    let again = UserRow { admin: true, ..ann };
    for (admin, expected) in [
        (Some(true), Ensured::Changed(again.clone())),
        (Some(true), Ensured::Unchanged(again.clone())),
        (None, Ensured::Unchanged(again.clone())),
    ] {
        let ensured = users::ensure(store, &user("user-x", "ann"), admin, |_| audit()).await;
        assert_eq!(ensured.unwrap(), expected);
    }
    let taken = users::ensure(store, &user("user-a", "cid"), None, |_| audit()).await.unwrap_err();
    assert!(matches!(taken, Error::Duplicate { what: Unique::UserId }), "{taken:?}");
    let dan = UserRow { admin: true, ..user("user-d", "dan") };
    let ensured = users::ensure(store, &user("user-d", "dan"), Some(true), |_| audit()).await.unwrap();
    assert_eq!(ensured, Ensured::Created(dan.clone()));

    assert_eq!(users::get(store, "user-a").await.unwrap(), Some(again.clone()));
    assert_eq!(users::get(store, "user-z").await.unwrap(), None);
    assert_eq!(users::find(store, "bob").await.unwrap(), [user("user-b", "bob")]);
    add_user(store, &user("user-n", "user-b")).await;
    let found = users::find(store, "user-b").await.unwrap();
    assert_eq!(
        found,
        [user("user-b", "bob"), user("user-n", "user-b")],
        "the ID of one and the name of another"
    );
    assert!(remove_user(store, "user-n", &audit()).await.unwrap());
    assert!(users::find(store, "nobody").await.unwrap().is_empty());
    let mut listed = users::list(store).await.unwrap();
    listed.retain(|user| user.id.starts_with("user-"));
    assert_eq!(listed, [again, user("user-b", "bob"), dan]);
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
    assert!(matches!(taken, Error::Duplicate { what: Unique::TokenName }), "{taken:?}");
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

async fn put_replaces_a_token(db: &TestDb) {
    let store = &db.store;
    add_user(store, &user("user-a", "ann")).await;
    add_user(store, &user("user-b", "bob")).await;
    let row = async || tokens::find(store, "t").await.unwrap().unwrap().0;
    assert!(
        tokens::put(store, &TokenRow { expires_ms: Some(1), ..token("t", "user-a") }, &audit())
            .await
            .unwrap()
    );
    assert_eq!(row().await.expires_ms, Some(1));
    assert!(tokens::put(store, &token("t", "user-a"), &audit()).await.unwrap());
    assert_eq!(row().await, token("t", "user-a"));
    let later = TokenRow { created_ms: 77, ..token("t", "user-a") };
    assert!(!tokens::put(store, &later, &audit()).await.unwrap(), "its times are unchanged");
    assert_eq!(row().await.created_ms, 10);
    let other = TokenRow { hash: vec![1], created_ms: 78, ..token("t", "user-b") };
    assert!(tokens::put(store, &other, &audit()).await.unwrap());
    assert_eq!(row().await, other);
    let dangling = tokens::put(store, &token("t", "user-z"), &audit()).await.unwrap_err();
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
    let left = tokens::list(store, None).await.unwrap();
    assert_eq!(left.iter().map(|(token, _)| token.name.as_str()).collect::<Vec<_>>(), ["later", "never"]);
}
