//! `/v3/clusterroletemplatebindings`: the members of a cluster, their rights, and who may change them.

use http::{Method, StatusCode};
use norman_aks::store::{self, audit};
use serde_json::{Value, json};

use crate::norman::{NO_CREDENTIAL, norman_error};
use crate::support::app::{TestApp, TestResponse};
use crate::support::call::string_at;
use crate::support::databases;
use crate::support::test_clusters;

const BINDINGS: &str = "/v3/clusterroletemplatebindings";

/// Ann's cluster and credential, and Ben, who has no role in the cluster yet.
struct TestContext {
    app: TestApp,
    ann: String,
    ben: String,
    cluster: String,
    credential: String,
}

impl TestContext {
    async fn start() -> Self {
        Self::new(
            TestApp::builder()
                .advisory_review()
                .setting("NORMAN_AKS_SERVER_URL", "https://aks.example.org")
                .start()
                .await,
        )
        .await
    }

    async fn new(app: TestApp) -> Self {
        let (ann, ben) = (app.token("ann").await, app.token("ben").await);
        let credential = app.store_credential(&ann).await;
        let cluster = register_cluster(&app, &ann, "one", &credential).await;
        Self { app, ann, ben, cluster, credential }
    }

    async fn bind(&self, token: &str, body: &Value) -> TestResponse {
        self.app.post(BINDINGS).token(token).json(body).send().await
    }

    /// Gives Ben a role, as Ann; returns the binding.
    async fn bind_ben(&self, role: &str) -> Value {
        let body = json!({"clusterId": self.cluster, "userId": self.app.user_id(&self.ben).await, "roleTemplateId": role});
        self.bind(&self.ann, &body).await.expect(201).json()
    }

    async fn status(&self, method: Method, path: &str, token: &str, body: &Value) -> u16 {
        self.app.call(method, path).token(token).json(body).send().await.status.as_u16()
    }

    /// The statuses of all of Ben's requests that depend on a role in the cluster.
    async fn statuses_of_ben(&self) -> Vec<(&'static str, u16)> {
        let (id, cluster) = (&self.cluster, format!("/v3/clusters/{}", self.cluster));
        let credential = &self.credential;
        let no_body = Value::Null;
        let change = json!({"name": "one", "description": "by ben"});
        let binding = json!({"clusterId": id, "userId": self.app.user_id(&self.ann).await, "roleTemplateId": "read-only"});
        let mut statuses = Vec::new();
        for (what, method, path, body) in [
            ("reads the cluster", Method::GET, cluster.clone(), &no_body),
            ("updates the cluster", Method::PUT, cluster.clone(), &change),
            ("gets a kubeconfig", Method::POST, format!("{cluster}?action=generateKubeconfig"), &no_body),
            ("reads a binding", Method::GET, format!("{BINDINGS}/{id}:creator-cluster-owner"), &no_body),
            ("creates a binding", Method::POST, BINDINGS.to_owned(), &binding),
            (
                "reads the registration token",
                Method::GET,
                format!("/v3/clusterregistrationtokens/{id}:default-token"),
                &no_body,
            ),
            (
                "uses the cluster's credential",
                Method::GET,
                format!("/meta/aksLocations?cloudCredentialId={credential}&clusterID={id}"),
                &no_body,
            ),
            (
                "lists upgrades",
                Method::GET,
                format!("/meta/aksUpgrades?cloudCredentialId={credential}&clusterId={id}&region=eastus"),
                &no_body,
            ),
            ("reads the credential", Method::GET, format!("/v3/cloudcredentials/{credential}"), &no_body),
        ] {
            statuses.push((what, self.status(method, &path, &self.ben, body).await));
        }
        statuses
    }
}

/// Creates a cluster object for an import, without running a step; returns its ID.
async fn register_cluster(app: &TestApp, token: &str, name: &str, credential: &str) -> String {
    let mut body = test_clusters::absent_body(name, credential);
    body["aksConfig"]["kubernetesVersion"] = json!(app.seed.kubernetes_version);
    test_clusters::create(app, token, &body).await
}

fn path_of(binding: &Value) -> String {
    format!("{BINDINGS}/{}", string_at(binding, "id"))
}

#[tokio::test]
async fn binding_has_ranchers_fields_and_links() {
    let context = TestContext::start().await;
    let (ben, id) = (context.app.user_id(&context.ben).await, &context.cluster);
    let sent = json!({"links": null, "actions": null, "clusterId": id, "roleTemplateId": "cluster-member",
        "userPrincipalId": format!("local://{ben}"), "name": "for-ben", "groupPrincipalId": "", "groupId": null});
    let binding = context.bind(&context.ann, &sent).await.expect(201).json();
    let url = format!("https://aks.example.org/v3/clusterRoleTemplateBindings/{id}:for-ben");
    assert_eq!(
        binding,
        json!({
            "actions": {}, "annotations": {}, "baseType": "clusterRoleTemplateBinding", "clusterId": id,
            "created": "2026-11-22T12:00:00Z", "createdTS": 1_795_348_800_000_i64, "id": format!("{id}:for-ben"),
            "labels": {"cattle.io/creator": "norman"}, "links": {"remove": url, "self": url, "update": url},
            "name": "for-ben", "roleTemplateId": "cluster-member", "state": "active", "transitioning": "no",
            "type": "clusterRoleTemplateBinding", "userId": ben, "userPrincipalId": format!("local://{ben}"),
            "uuid": binding["uuid"],
        })
    );
    assert!(uuid::Uuid::parse_str(&string_at(&binding, "uuid")).is_ok());
    for path in [path_of(&binding), format!("/v3/clusterRoleTemplateBindings/{id}:for-ben")] {
        assert_eq!(context.app.get(&path).token(&context.ann).send().await.json(), binding, "{path}");
    }
    // Ben sees the binding too, without the links to change it.
    let seen = context.app.get(&path_of(&binding)).token(&context.ben).send().await.json();
    assert_eq!(seen["links"], json!({"self": url}));
    let unnamed = {
        let cid = context.app.token("cid").await;
        let body = json!({"clusterId": id, "userId": context.app.user_id(&cid).await, "roleTemplateId": "read-only"});
        context.bind(&context.ann, &body).await.json()
    };
    assert!(
        string_at(&unnamed, "name").starts_with("crtb-") && string_at(&unnamed, "name").len() == 10,
        "{unnamed}"
    );
}

#[tokio::test]
async fn each_role_allows_exactly_its_requests() {
    let context = TestContext::start().await;
    let names = [
        "reads the cluster",
        "updates the cluster",
        "gets a kubeconfig",
        "reads a binding",
        "creates a binding",
        "reads the registration token",
        "uses the cluster's credential",
        "lists upgrades",
        "reads the credential",
    ];
    let expected = |statuses: [u16; 9]| names.into_iter().zip(statuses).collect::<Vec<_>>();
    let without_role = expected([404, 404, 404, 404, 404, 404, 422, 422, 404]);
    let as_reader = expected([200, 403, 200, 200, 403, 403, 422, 422, 404]);
    let as_owner = expected([200, 200, 200, 200, 201, 200, 200, 200, 404]);
    assert_eq!(context.statuses_of_ben().await, without_role);
    let binding = context.bind_ben("read-only").await;
    assert_eq!(context.statuses_of_ben().await, as_reader);
    for (role, expected_statuses) in
        [("cluster-member", &as_reader), ("cluster-owner", &as_owner), ("read-only", &as_reader)]
    {
        let changed = context
            .app
            .put(&path_of(&binding))
            .token(&context.ann)
            .json(&json!({"roleTemplateId": role}))
            .send()
            .await;
        assert_eq!((changed.status, &changed.json()["roleTemplateId"]), (StatusCode::OK, &json!(role)));
        assert_eq!(&context.statuses_of_ben().await, expected_statuses, "{role}");
    }
    let removed = context.app.delete(&path_of(&binding)).token(&context.ann).send().await;
    assert_eq!((removed.status, &removed.json()["id"]), (StatusCode::OK, &binding["id"]));
    assert_eq!(context.statuses_of_ben().await, without_role);
    assert_eq!(
        context.app.delete(&path_of(&binding)).token(&context.ann).send().await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn bindings_are_hidden_from_nonmembers() {
    let context = TestContext::start().await;
    let binding = context.bind_ben("read-only").await;
    let eve = context.app.token("eve").await;
    let user = context.app.user_id(&eve).await;
    let absent_id = "c-none1:crtb-none1";
    for (method, query) in [
        (Method::GET, ""),
        (Method::PUT, ""),
        (Method::DELETE, ""),
        (Method::POST, "?_method=PUT"),
        (Method::POST, "?_method=DELETE"),
        (Method::POST, ""),
    ] {
        let body = json!({"roleTemplateId": "cluster-owner"});
        let request = |id: &str| {
            context.app.call(method.clone(), &format!("{BINDINGS}/{id}{query}")).token(&eve).json(&body)
        };
        let (existing, absent) =
            (request(&string_at(&binding, "id")).send().await, request(absent_id).send().await);
        assert_eq!(
            (existing.status, absent.status),
            (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
            "{method}"
        );
        assert_eq!(
            existing.text().replace(&string_at(&binding, "id"), absent_id),
            absent.text(),
            "{method}: the responses do not differ"
        );
    }
    for query in ["", &format!("?clusterId={}", context.cluster), "?roleTemplateId=read-only"] {
        assert!(
            context.app.get(&format!("{BINDINGS}{query}")).token(&eve).send().await.ids().is_empty(),
            "{query}"
        );
    }
    let of_cluster = format!("/v3/clusters/{}/clusterroletemplatebindings", context.cluster);
    assert_eq!(context.status(Method::GET, &of_cluster, &eve, &Value::Null).await, 404);
    let [existing, absent] = [context.cluster.as_str(), "c-none1"]
        .map(|id| json!({"clusterId": id, "userId": user, "roleTemplateId": "cluster-owner"}));
    let (existing, absent) = (context.bind(&eve, &existing).await, context.bind(&eve, &absent).await);
    assert_eq!(existing.status, StatusCode::NOT_FOUND);
    assert_eq!(existing.text().replace(&context.cluster, "c-none1"), absent.text());
    assert!(context.app.get("/v3/clusters").token(&eve).send().await.ids().is_empty());
}

#[tokio::test]
async fn only_owners_change_bindings_and_the_creator_stays_owner() {
    let context = TestContext::start().await;
    let creator = format!("{BINDINGS}/{}:creator-cluster-owner", context.cluster);
    let binding = context.bind_ben("cluster-member").await;
    let cid = context.app.token("cid").await;
    let cid_id = context.app.user_id(&cid).await;
    let cid_body = json!({"clusterId": context.cluster, "userId": cid_id, "roleTemplateId": "read-only"});
    let change = json!({"roleTemplateId": "cluster-owner"});
    for role in ["cluster-member", "read-only"] {
        let role = json!({"roleTemplateId": role});
        assert_eq!(context.status(Method::PUT, &path_of(&binding), &context.ann, &role).await, 200);
        let denied = context.bind(&context.ben, &cid_body).await;
        assert_eq!(
            (denied.status, norman_error(&denied).code),
            (StatusCode::FORBIDDEN, "PermissionDenied".into())
        );
        for path in [&path_of(&binding), &creator] {
            assert_eq!(context.status(Method::PUT, path, &context.ben, &change).await, 403, "{path}");
            assert_eq!(context.status(Method::DELETE, path, &context.ben, &Value::Null).await, 403, "{path}");
        }
    }
    assert_eq!(context.status(Method::PUT, &path_of(&binding), &context.ann, &change).await, 200);
    // Ben is an owner now. The creator's role cannot be removed or changed, not even by Ann or an administrator.
    let added = context.bind(&context.ben, &cid_body).await.expect(201);
    for token in [&context.ann, &context.ben, &context.app.admin] {
        assert_eq!(context.status(Method::DELETE, &creator, token, &Value::Null).await, 403);
        assert_eq!(
            context.status(Method::PUT, &creator, token, &json!({"roleTemplateId": "read-only"})).await,
            403
        );
    }
    let creator_binding = context.app.get(&creator).token(&context.ben).send().await.json();
    assert_eq!(
        (&creator_binding["userId"], &creator_binding["roleTemplateId"]),
        (&json!(context.app.user_id(&context.ann).await), &json!("cluster-owner"))
    );
    assert_eq!(creator_binding["links"].get("remove"), None);
    // Owners can remove their own binding; other members cannot.
    assert_eq!(context.status(Method::DELETE, &path_of(&added.json()), &cid, &Value::Null).await, 403);
    assert_eq!(context.status(Method::DELETE, &path_of(&binding), &context.ben, &Value::Null).await, 200);
    assert_eq!(context.status(Method::GET, &path_of(&binding), &context.ben, &Value::Null).await, 404);
    assert_eq!(
        context.status(Method::DELETE, &path_of(&added.json()), &context.app.admin, &Value::Null).await,
        200
    );
}

#[tokio::test]
async fn owner_updates_and_deletes_another_users_cluster() {
    let context = TestContext::start().await;
    context.bind_ben("cluster-owner").await;
    let path = format!("/v3/clusters/{}", context.cluster);
    let seen = context.app.get(&path).token(&context.ben).send().await.json();
    assert!(seen["links"]["update"].is_string() && seen["links"]["clusterRegistrationTokens"].is_string());
    assert_eq!(
        context.app.get("/v3/clusters").token(&context.ben).send().await.ids(),
        std::slice::from_ref(&context.cluster)
    );
    // An update may omit the credential or repeat the current one, but not select another credential of Ann's.
    let other = context.app.store_credential(&context.ann).await;
    let with_credential =
        |credential: &str| json!({"name": "one", "aksConfig": {"azureCredentialSecret": credential}});
    assert_eq!(
        context.status(Method::PUT, &path, &context.ben, &json!({"name": "one", "labels": {"a": "b"}})).await,
        200
    );
    assert_eq!(
        context.status(Method::PUT, &path, &context.ben, &with_credential(&context.credential)).await,
        200
    );
    let rejected = context.app.put(&path).token(&context.ben).json(&with_credential(&other)).send().await;
    assert_eq!((rejected.status.as_u16(), norman_error(&rejected).message), (404, NO_CREDENTIAL.into()));
    let own = context.app.store_credential(&context.ben).await;
    let changed =
        context.app.put(&path).token(&context.ben).json(&with_credential(&own)).send().await.expect(200);
    assert_eq!(changed.json()["creatorId"], context.app.user_id(&context.ann).await);
    let removed = context.app.delete(&path).token(&context.ben).send().await;
    assert_eq!((removed.status, &removed.json()["state"]), (StatusCode::OK, &json!("removing")));
    context.app.settle().await;
    for token in [&context.ann, &context.ben] {
        assert_eq!(context.status(Method::GET, &path, token, &Value::Null).await, 404);
        assert!(
            context.app.get(BINDINGS).token(token).send().await.ids().is_empty(),
            "the memberships were deleted too"
        );
    }
}

#[tokio::test]
async fn members_see_a_cluster_without_the_links_of_owners() {
    let context = TestContext::start().await;
    context.bind_ben("cluster-member").await;
    let path = format!("/v3/clusters/{}", context.cluster);
    let mut owner = context.app.get(&path).token(&context.ann).send().await.json();
    let member = context.app.get(&path).token(&context.ben).send().await.json();
    for link in ["update", "remove", "clusterRegistrationTokens"] {
        assert!(owner["links"].as_object_mut().unwrap().remove(link).is_some(), "{link}");
    }
    assert_eq!(member, owner);
    let list = context.app.get("/v3/clusters").token(&context.ben).send().await.json();
    assert_eq!(list["data"], json!([member]));
    // Members see each other.
    let members_path = format!("{path}/clusterroletemplatebindings");
    assert_eq!(context.app.get(&members_path).token(&context.ben).send().await.ids().len(), 2);
    for part in ["nodes", "projects", "clusterroletemplatebindings", "clusterregistrationtokens"] {
        let list = context.app.get(&format!("{path}/{part}")).token(&context.ben).send().await;
        assert_eq!(list.status, StatusCode::OK, "{part}");
        assert!(part != "clusterregistrationtokens" || list.ids().is_empty(), "{}", list.text());
    }
}

#[tokio::test]
async fn invalid_bindings_are_rejected_with_the_field() {
    let context = TestContext::start().await;
    let (ann, ben, id) = (
        context.app.user_id(&context.ann).await,
        context.app.user_id(&context.ben).await,
        context.cluster.clone(),
    );
    let full = json!({"clusterId": id, "userId": ben, "roleTemplateId": "read-only"});
    let with_field = |key: &str, value: Value| {
        let mut body = full.clone();
        body[key] = value;
        body
    };
    for (body, code, field) in [
        (with_field("roleTemplateId", json!("project-owner")), "InvalidOption", "roleTemplateId"),
        (with_field("roleTemplateId", Value::Null), "", "roleTemplateId"),
        (with_field("roleTemplateId", json!("")), "", "roleTemplateId"),
        (with_field("clusterId", Value::Null), "MissingRequired", "clusterId"),
        (with_field("clusterId", json!(" ")), "MissingRequired", "clusterId"),
        (with_field("userId", json!("user-none1")), "InvalidReference", "userId"),
        (with_field("userId", json!("")), "MissingRequired", "userId"),
        (with_field("userPrincipalId", json!("github_user://1")), "InvalidReference", "userPrincipalId"),
        (
            with_field("userPrincipalId", json!(format!("local://{ann}"))),
            "InvalidReference",
            "userPrincipalId",
        ),
        (with_field("groupId", json!("g")), "InvalidOption", "groupId"),
        (with_field("groupPrincipalId", json!("g")), "InvalidOption", "groupPrincipalId"),
        (with_field("name", json!("Not A Name")), "InvalidFormat", "name"),
        (with_field("name", json!("creator-cluster-owner")), "InvalidFormat", "name"),
    ] {
        let rejected = context.bind(&context.ann, &body).await;
        assert_eq!(rejected.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", rejected.text());
        let error = norman_error(&rejected);
        assert!(error.field == field && (code.is_empty() || error.code == code), "{body}: {error:?}");
        assert!(error.message.contains(' '), "{body}: {error:?}");
        if body["userId"] == "user-none1" {
            assert!(
                error.message.starts_with("user user-none1 not found: userId is an ID that /v3/users lists"),
                "{error:?}"
            );
        }
    }
    let binding = context.bind(&context.ann, &with_field("name", json!("mine"))).await.json();
    let cid = context.app.token("cid").await;
    let mut taken = with_field("name", json!("mine"));
    taken["userId"] = json!(context.app.user_id(&cid).await);
    let taken = context.bind(&context.ann, &taken).await;
    assert_eq!((taken.status, norman_error(&taken).code), (StatusCode::CONFLICT, "AlreadyExists".into()));
    // An update may repeat the cluster and the user, as clients do, but not change them.
    let repeated = context.app.put(&path_of(&binding)).token(&context.ann).json(&binding).send().await;
    assert_eq!((repeated.status, repeated.json()), (StatusCode::OK, binding.clone()));
    for (key, value) in [("clusterId", "c-none1"), ("userId", ann.as_str()), ("roleTemplateId", "x")] {
        let rejected =
            context.app.put(&path_of(&binding)).token(&context.ann).json(&json!({key: value})).send().await;
        let error = norman_error(&rejected);
        assert_eq!(
            (rejected.status.as_u16(), error.code.as_str(), error.field.as_str()),
            (422, "InvalidOption", key)
        );
    }
    assert_eq!(context.app.get(&path_of(&binding)).token(&context.ann).send().await.json(), binding);
    for id in ["none", "c-none1", &format!("{id}:none"), &format!("{id}:"), ":x", "a:b:c"] {
        assert_eq!(
            context.status(Method::GET, &format!("{BINDINGS}/{id}"), &context.ann, &Value::Null).await,
            404,
            "{id}"
        );
    }
}

#[tokio::test]
async fn update_replaces_labels_but_not_those_of_the_system() {
    let context = TestContext::start().await;
    let ben = context.app.user_id(&context.ben).await;
    let body = json!({"clusterId": context.cluster, "userId": ben, "roleTemplateId": "read-only",
        "labels": {"example.com/a": "b", "cattle.io/creator": "me"}, "annotations": {"example.com/c": "d", "x.cattle.io/y": "1"}});
    let binding = context.bind(&context.ann, &body).await.expect(201).json();
    assert_eq!(binding["labels"], json!({"example.com/a": "b", "cattle.io/creator": "norman"}));
    assert_eq!(binding["annotations"], json!({"example.com/c": "d", "x.cattle.io/y": "1"}));
    let put = async |body: Value| {
        let response =
            context.app.put(&path_of(&binding)).token(&context.ann).json(&body).send().await.expect(200);
        let read = context.app.get(&path_of(&binding)).token(&context.ann).send().await.json();
        assert_eq!(response.json(), read);
        (read["labels"].clone(), read["annotations"].clone(), read["roleTemplateId"].clone())
    };
    let creator = json!({"cattle.io/creator": "norman"});
    let (labels, annotations, role) = put(json!({"roleTemplateId": "cluster-member"})).await;
    assert_eq!(
        (labels, annotations, role),
        (binding["labels"].clone(), binding["annotations"].clone(), json!("cluster-member"))
    );
    let (labels, annotations, role) = put(json!({"labels": {}, "annotations": {"e": "f"}})).await;
    assert_eq!((labels, role), (creator.clone(), json!("cluster-member")));
    assert_eq!(annotations, json!({"e": "f", "x.cattle.io/y": "1"}), "those of the system remain");
    let rejected = context
        .app
        .put(&path_of(&binding))
        .token(&context.ann)
        .json(&json!({"labels": {"a": "b\nc"}}))
        .send()
        .await;
    assert_eq!(norman_error(&rejected).field, "labels.a");
    let creator_path = format!("{BINDINGS}/{}:creator-cluster-owner", context.cluster);
    assert_eq!(context.app.get(&creator_path).token(&context.ann).send().await.json()["labels"], creator);
}

#[tokio::test]
async fn strongest_of_several_roles_applies_until_it_is_removed() {
    let context = TestContext::start().await;
    let cluster = format!("/v3/clusters/{}", context.cluster);
    let read_only = context.bind_ben("read-only").await;
    let change = json!({"name": "one", "description": "by ben"});
    assert_eq!(context.status(Method::PUT, &cluster, &context.ben, &change).await, 403);
    // Terraform may add the new binding before it removes the old one.
    let owner = context.bind_ben("cluster-owner").await;
    let second_owner = context.bind_ben("cluster-owner").await;
    let binding_ids = context
        .app
        .get(&format!("{BINDINGS}?userId={}", context.app.user_id(&context.ben).await))
        .token(&context.ann)
        .send()
        .await
        .ids();
    assert_eq!(binding_ids.len(), 3);
    let links = async || {
        context.app.get("/v3/clusters").token(&context.ben).send().await.json()["data"][0]["links"].clone()
    };
    for removed in [&read_only, &second_owner] {
        assert_eq!(context.status(Method::PUT, &cluster, &context.ben, &change).await, 200);
        assert!(links().await["update"].is_string());
        assert_eq!(context.status(Method::DELETE, &path_of(removed), &context.ann, &Value::Null).await, 200);
    }
    assert_eq!(context.status(Method::PUT, &cluster, &context.ben, &change).await, 200);
    context.bind_ben("read-only").await;
    assert_eq!(context.status(Method::DELETE, &path_of(&owner), &context.ann, &Value::Null).await, 200);
    assert_eq!(context.status(Method::PUT, &cluster, &context.ben, &change).await, 403);
    assert!(links().await["update"].is_null());
    // Another role for the creator changes nothing.
    let ann_body = json!({"clusterId": context.cluster, "userId": context.app.user_id(&context.ann).await, "roleTemplateId": "read-only"});
    let ann_binding = context.bind(&context.ann, &ann_body).await.expect(201);
    assert_eq!(context.status(Method::PUT, &cluster, &context.ann, &change).await, 200);
    assert_eq!(
        context.status(Method::DELETE, &path_of(&ann_binding.json()), &context.ann, &Value::Null).await,
        200
    );
}

#[tokio::test]
async fn bindings_are_listed_by_cluster_user_and_role() {
    let context = TestContext::start().await;
    let other = register_cluster(&context.app, &context.ann, "two", &context.credential).await;
    let binding = context.bind_ben("read-only").await;
    let list_ids = async |query: &str| {
        context.app.get(&format!("{BINDINGS}{query}")).token(&context.ann).send().await.ids()
    };
    let (creator_id, other_creator_id) =
        (format!("{}:creator-cluster-owner", context.cluster), format!("{other}:creator-cluster-owner"));
    let mut all = vec![creator_id.clone(), other_creator_id.clone(), string_at(&binding, "id")];
    all.sort();
    assert_eq!(list_ids("").await, all);
    assert_eq!(list_ids(&format!("?clusterId={other}")).await, std::slice::from_ref(&other_creator_id));
    assert_eq!(
        list_ids(&format!("?userId={}", context.app.user_id(&context.ben).await)).await,
        [string_at(&binding, "id")]
    );
    assert_eq!(list_ids("?roleTemplateId=read-only").await, [string_at(&binding, "id")]);
    assert_eq!(list_ids("?roleTemplateId_ne=read-only&limit=1").await.len(), 1);
    let of_cluster = format!("/v3/clusters/{other}/clusterRoleTemplateBindings");
    assert_eq!(context.app.get(&of_cluster).token(&context.ann).send().await.ids(), [other_creator_id]);
    assert_eq!(context.app.get(BINDINGS).send().await.ids(), all, "administrators see all");
}

#[tokio::test]
async fn role_changes_are_in_the_audit_log() {
    let db = databases::sqlite().await;
    let context = TestContext::new(TestApp::builder().advisory_review().database(&db).start().await).await;
    let binding = context.bind_ben("read-only").await;
    assert_eq!(context.status(Method::DELETE, &path_of(&binding), &context.ben, &Value::Null).await, 403);
    assert_eq!(
        context
            .status(
                Method::PUT,
                &path_of(&binding),
                &context.ann,
                &json!({"roleTemplateId": "cluster-owner"})
            )
            .await,
        200
    );
    assert_eq!(context.status(Method::DELETE, &path_of(&binding), &context.ben, &Value::Null).await, 200);
    context.app.server.stop().await;
    let filter = audit::Filter {
        object_type: Some("clusterRoleTemplateBinding".to_owned()),
        ..audit::Filter::default()
    };
    let mut rows = store::audit::list(&db.store, 100, &filter).await.unwrap();
    rows.reverse();
    let records: Vec<_> = rows.iter().map(|row| [&*row.user_name, &*row.action, &*row.outcome]).collect();
    assert_eq!(
        records,
        [
            ["ann", "create", "done"],
            ["ben", "delete", "refused"],
            ["ann", "update", "done"],
            ["ben", "delete", "done"]
        ]
    );
    assert!(rows.iter().all(|row| row.object_id == string_at(&binding, "id")));
}
