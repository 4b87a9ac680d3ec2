//! Objects related to clusters below `/v3`: projects, drivers and role templates; and lists of clusters.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::norman::norman_error;
use crate::support::app::{TestApp, TestResponse};
use crate::support::call::string_at;
use crate::support::test_clusters;

fn names(list: &TestResponse) -> Vec<String> {
    list.data().iter().map(|object| string_at(object, "name")).collect()
}

#[tokio::test]
async fn active_cluster_has_two_constant_projects() {
    let app = TestApp::with_advisory_review().await;
    let (ann, eve) = (app.token("ann").await, app.token("eve").await);
    let id = test_clusters::import(&app, &ann, "one").await;
    let path = format!("/v3/projects?clusterId={id}");
    assert!(
        app.get(&path).token(&ann).send().await.data().is_empty(),
        "projects exist once the cluster is active"
    );
    app.settle().await;
    let projects = app.get(&path).token(&ann).send().await.data();
    let names: Vec<String> = projects.iter().map(|project| string_at(project, "name")).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(sorted, ["Default", "System"]);
    for project in &projects {
        let label = |name: &str| format!("authz.management.cattle.io/{name}-project");
        let own = if project["name"] == "Default" { "default" } else { "system" };
        let other = if own == "default" { "system" } else { "default" };
        assert_eq!(project["labels"][label(own)], "true", "{project}");
        assert_eq!(project["labels"].get(label(other)), None, "{project}");
        assert_eq!((&project["clusterId"], &project["type"]), (&json!(id), &json!("project")));
        assert!(string_at(project, "id").starts_with(&format!("{id}:p-")), "{project}");
        assert_eq!(project["links"].as_object().unwrap().len(), 1, "projects cannot be changed: {project}");
        let project_path = format!("/v3/projects/{}", string_at(project, "id"));
        assert_eq!(app.get(&project_path).token(&ann).send().await.json(), *project);
        assert_eq!(app.get(&project_path).token(&eve).send().await.status, StatusCode::NOT_FOUND);
        assert_eq!(app.delete(&project_path).token(&ann).send().await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    for path in ["/v3/projects", &format!("/v3/clusters/{id}/projects"), &path] {
        assert_eq!(app.get(path).token(&ann).send().await.data(), projects, "{path}");
    }
    assert!(app.get("/v3/projects").token(&eve).send().await.data().is_empty());
    assert_eq!(app.get(&format!("/v3/clusters/{id}/projects")).token(&eve).send().await.status, 404);
    for missing in ["none", "c-none1:p-none1", &format!("{id}:p-none1"), ":"] {
        let response = app.get(&format!("/v3/projects/{missing}")).token(&ann).send().await;
        assert_eq!(
            (response.status, norman_error(&response).message),
            (StatusCode::NOT_FOUND, format!("{missing} not found"))
        );
    }
    // Projects remain while the cluster is changed, and are deleted with it.
    let change = json!({"name": "one", "description": "other words"});
    assert_eq!(app.put(&format!("/v3/clusters/{id}")).token(&ann).json(&change).send().await.status, 200);
    assert_eq!(app.get(&path).token(&ann).send().await.data(), projects);
    assert_eq!(app.delete(&format!("/v3/clusters/{id}")).token(&ann).send().await.status, 200);
    app.settle().await;
    assert!(app.get(&path).token(&ann).send().await.data().is_empty());
    app.post("/v3/projects").json(&json!({"name": "mine", "clusterId": id})).send().await.expect(405);
}

#[tokio::test]
async fn drivers_include_azure_and_aks() {
    let app = TestApp::with_advisory_review().await;
    let ann = app.token("ann").await;
    let driver = |kind: &str, id: &str, name: &str, builtin_key: &str| {
        let url = format!("http://norman.test/v3/{kind}s/{id}");
        json!({"actions": {}, "active": true, "baseType": kind, builtin_key: true, "id": id, "links": {"self": url},
            "name": name, "state": "active", "transitioning": "no", "type": kind})
    };
    let node_driver = driver("nodeDriver", "azure", "azure", "builtin");
    for path in ["/v3/nodedrivers", "/v3/nodeDrivers"] {
        assert_eq!(app.get(path).token(&ann).send().await.data(), std::slice::from_ref(&node_driver));
        assert_eq!(app.get(&format!("{path}/azure")).token(&ann).send().await.json(), node_driver);
        let missing = app.get(&format!("{path}/amazonec2")).token(&ann).send().await;
        assert_eq!(
            (missing.status, norman_error(&missing).message),
            (StatusCode::NOT_FOUND, "amazonec2 not found".into())
        );
        let action = app.post(&format!("{path}/azure?action=deactivate")).send().await;
        assert_eq!(action.status, StatusCode::METHOD_NOT_ALLOWED, "a driver cannot be deactivated");
    }
    let aks_driver = driver("kontainerDriver", "azurekubernetesservice", "azureKubernetesService", "builtIn");
    for path in ["/v3/kontainerdrivers", "/v3/kontainerDrivers"] {
        assert_eq!(app.get(path).token(&ann).send().await.data(), std::slice::from_ref(&aks_driver));
        for id in ["azurekubernetesservice", "azureKubernetesService"] {
            assert_eq!(app.get(&format!("{path}/{id}")).token(&ann).send().await.json(), aks_driver);
        }
        assert_eq!(app.get(&format!("{path}/googlekubernetesengine")).token(&ann).send().await.status, 404);
    }
    assert!(app.get("/v3/nodedrivers?active=false").send().await.data().is_empty());
    assert_eq!(app.get("/v3/nodedrivers/azure").anonymous().send().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn role_templates_are_read_only() {
    let app = TestApp::with_advisory_review().await;
    let ann = app.token("ann").await;
    let roles = app.get("/v3/roletemplates").token(&ann).send().await.data();
    let ids: Vec<String> = roles.iter().map(|role| string_at(role, "id")).collect();
    assert_eq!(ids, ["cluster-member", "cluster-owner", "read-only"]);
    for role in &roles {
        let path = format!("/v3/roleTemplates/{}", string_at(role, "id"));
        assert_eq!(role["links"], json!({"self": format!("http://norman.test{path}")}));
        assert_eq!(app.get(&path).token(&ann).send().await.json(), *role);
        assert_eq!(
            (&role["context"], &role["builtin"], &role["locked"]),
            (&json!("cluster"), &json!(true), &json!(false))
        );
        assert_eq!(role["clusterCreatorDefault"], role["id"] == "cluster-owner");
        for method in [Method::PUT, Method::DELETE, Method::POST] {
            let response = app.call(method.clone(), &path).json(&json!({"name": "x"})).send().await;
            assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        }
    }
    assert_eq!(
        names(&app.get("/v3/roleTemplates?clusterCreatorDefault=true").send().await),
        ["Cluster Owner"]
    );
    assert_eq!(names(&app.get("/v3/roletemplates?context=project").send().await), Vec::<String>::new());
    assert_eq!(
        app.get("/v3/roletemplates/project-owner").token(&ann).send().await.status,
        StatusCode::NOT_FOUND
    );
}

/// Imports clusters `a` to `e` as Ann and a cluster `a` as Ben; returns the tokens of both.
async fn create_clusters(app: &TestApp) -> (String, String) {
    let (ann, ben) = (app.token("ann").await, app.token("ben").await);
    for (token, names) in [(&ann, &["b", "d", "a", "e", "c"][..]), (&ben, &["a"])] {
        let credential = app.store_credential(token).await;
        for name in names {
            let description = if *name < "c" { "early" } else { "late" };
            let group = if *token == ann { "anns" } else { "bens" };
            let config = json!({"clusterName": name, "resourceGroup": group, "resourceLocation": "eastus", "imported": true,
                "azureCredentialSecret": credential});
            let body = json!({"name": name, "description": description, "aksConfig": config});
            app.post("/v3/clusters").token(token).json(&body).send().await.expect(201);
        }
    }
    (ann, ben)
}

#[tokio::test]
async fn clusters_can_be_filtered() {
    let app = TestApp::with_advisory_review().await;
    let (ann, ben) = create_clusters(&app).await;
    let sorted_names = async |query: &str, token: &str| {
        let mut names = names(&app.get(&format!("/v3/clusters?{query}")).token(token).send().await);
        names.sort();
        names.concat()
    };
    for (query, expected) in [
        ("", "abcde"),
        ("name=a", "a"),
        ("name=A", ""),
        ("name=none", ""),
        ("name=", ""),
        ("name_ne=a", "bcde"),
        ("name_in=a,e,x", "ae"),
        ("name_notin=a,e", "bcd"),
        ("name_notnull=", "abcde"),
        ("name_null=", ""),
        ("description=early", "ab"),
        ("description=early&name=b", "b"),
        ("name=a&name=b", ""),
        ("state=provisioning", "abcde"),
        ("state=active", ""),
        ("state_ne=active&description=late", "cde"),
        ("driver=AKS", "abcde"),
        ("internal=false", "abcde"),
        ("internal=true", ""),
        ("unknown=x", "abcde"),
        ("name_like=a", "abcde"),
        ("aksConfig=x", "abcde"),
    ] {
        assert_eq!(sorted_names(query, &ann).await, expected, "{query}");
    }
    assert_eq!(sorted_names("name=a", &ben).await, "a");
    assert_eq!(sorted_names("", &app.admin).await, "aabcde");
    let user = app.user_id(&ben).await;
    assert_eq!(sorted_names(&format!("creatorId={user}"), &app.admin).await, "a");
    assert_eq!(sorted_names(&format!("creatorId={user}"), &ann).await, "", "others' objects are not found");
    let list = app.get("/v3/clusters?name_in=a,b&description=early").token(&ann).send().await.json();
    assert_eq!(list["filters"]["name"], json!([{"modifier": "in", "value": "a,b"}]));
    assert_eq!(list["filters"]["description"], json!([{"modifier": "eq", "value": "early"}]));
}

#[tokio::test]
async fn clusters_can_be_sorted_and_paged() {
    let app = TestApp::with_advisory_review().await;
    let (ann, _) = create_clusters(&app).await;
    let get = async |path: &str| app.get(path).token(&ann).send().await;
    for (query, expected) in [
        ("sort=name", "abcde"),
        ("sort=name&order=desc", "edcba"),
        ("sort=name&order=DESC", "edcba"),
        ("sort=name&reverse=true", "edcba"),
        ("sort=name&order=desc&reverse=true", "abcde"),
    ] {
        assert_eq!(names(&get(&format!("/v3/clusters?{query}")).await).concat(), expected, "{query}");
    }
    let by_id = get("/v3/clusters").await.ids();
    assert!(by_id.is_sorted());
    let first = get("/v3/clusters?sort=name").await.json();
    let path = |url: &Value| url.as_str().unwrap().strip_prefix("http://norman.test").unwrap().to_owned();
    assert_eq!((&first["sort"]["name"], &first["sort"]["order"]), (&json!("name"), &json!("asc")));
    assert_eq!(names(&get(&path(&first["sort"]["reverse"])).await).concat(), "edcba");

    // Every page links to the next one; the link keeps order and filters. Equal descriptions have no order.
    for (query, expected_pages) in
        [("sort=name", "ab cd e"), ("sort=name&order=desc&name_ne=c", "ed ba"), ("sort=description", "")]
    {
        let mut next = format!("/v3/clusters?{query}&limit=2");
        let mut pages_seen = Vec::new();
        for _ in 0..5 {
            let page = get(&next).await;
            let (page_names, pagination) = (names(&page), page.json()["pagination"].clone());
            assert_eq!(pagination["limit"], 2);
            assert_eq!(pagination["total"], if query.contains("_ne") { 4 } else { 5 });
            pages_seen.push(page_names.concat());
            if pagination["next"].is_null() {
                assert!(pagination["partial"].is_null(), "{pagination}");
                break;
            }
            assert_eq!(pagination["partial"], true);
            next = path(&pagination["next"]);
        }
        if expected_pages.is_empty() {
            let mut all: Vec<char> = pages_seen.concat().chars().collect();
            all.sort_unstable();
            assert_eq!(String::from_iter(all), "abcde", "no cluster is missing or on two pages");
        } else {
            assert_eq!(pages_seen.join(" "), expected_pages, "{query}");
        }
    }
    for (query, field) in
        [("limit=0", "limit"), ("limit=-1", "limit"), ("limit=x", "limit"), ("marker=c-none1", "marker")]
    {
        let rejected = get(&format!("/v3/clusters?{query}")).await;
        assert_eq!(
            (rejected.status, norman_error(&rejected).field.as_str()),
            (StatusCode::UNPROCESSABLE_ENTITY, field),
            "{query}"
        );
    }
    assert_eq!(get("/v3/clusters?limit=99999").await.json()["pagination"]["limit"], 10_000);
    assert_eq!(names(&get("/v3/clusters/?sort=name").await).concat(), "abcde");
}
