//! Responses of the server, compared with the schemas in the API document.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, TestResponse};
use crate::support::call::string_at;
use crate::support::schema::Document;

/// A server, its API document, and the differences between the two.
struct TestContext {
    app: TestApp,
    document: Document,
    /// The IDs for `{id}`, by path.
    ids: BTreeMap<String, Vec<String>>,
    problems: BTreeSet<String>,
}

impl TestContext {
    async fn start() -> Self {
        let app = TestApp::builder()
            .advisory_review()
            .setting("NORMAN_AKS_SERVER_URL", "https://aks.example.org")
            .start()
            .await;
        let document = Document::new(app.get("/openapi.json").anonymous().send().await.json());
        Self { app, document, ids: BTreeMap::new(), problems: BTreeSet::new() }
    }

    /// Compares a response with the document, and records the differences.
    fn compare(&mut self, method: &str, path: &str, response: &TestResponse) {
        let (status, body) = (response.status.as_u16(), response.json());
        for problem in self.document.problems(path, method, status, &body) {
            self.problems.insert(format!("{method} {path} {status}: {problem}"));
        }
    }

    /// Creates an object, and compares the response with the document.
    async fn create(&mut self, path: &str, body: &Value) -> Value {
        let response = self.app.post(path).json(body).send().await;
        assert_eq!(response.status, 201, "{path}: {}", response.text());
        self.compare("post", path, &response);
        let id = string_at(&response.json(), "id");
        self.ids.entry(format!("{path}/{{id}}")).or_default().push(id);
        response.json()
    }

    /// Sends every documented GET of `/v3` and `/api/v1`, and compares the responses; returns the number of paths.
    async fn read_everything(&mut self) -> usize {
        let paths: Vec<String> = self
            .document
            .operations("get")
            .map(|(path, _)| path.to_owned())
            .filter(|path| path.starts_with("/v3") || path.starts_with("/api/v1"))
            .collect();
        let credential = self.ids["/v3/cloudcredentials/{id}"][0].clone();
        for path in &paths {
            let urls = if path == "/api/v1/credentials/{id}/check" {
                vec![path.replace("{id}", &credential)]
            } else if path == "/api/v1/regions" {
                vec![format!("{path}?cloudCredentialId={credential}")]
            } else if PATHS_WITH_REGION.contains(&path.as_str()) {
                vec![format!("{path}?cloudCredentialId={credential}&region=eastus")]
            } else if path.contains("{id}") {
                // Paths below a cluster, and paths of `/api/v1`, use the IDs of `/v3`.
                let cluster_path = path.starts_with("/api/v1/clusters/").then_some("/v3/clusters/{id}");
                let v3_path = path.strip_prefix("/api/v1").map(|path| format!("/v3{path}"));
                let ids = self.ids.get(path).or_else(|| self.ids.get(cluster_path?));
                let ids = ids.or_else(|| self.ids.get(&v3_path?));
                let ids = ids.unwrap_or_else(|| panic!("no ID for {path}"));
                ids.iter().map(|id| path.replace("{id}", id)).collect()
            } else {
                vec![path.clone()]
            };
            for url in urls {
                // Without this header, the response of a cluster's events is a stream that does not end.
                let response = self.app.get(&url).header("accept", "application/json").send().await;
                // A cluster that is not in Azure has no upgrades.
                let may_be_invalid = path.ends_with("/upgrade-plan") && response.status == 422;
                assert!(response.status == 200 || may_be_invalid, "{url}: {}", response.text());
                self.compare("get", path, &response);
                let list = response.json();
                if let Some(elements) = list["data"].as_array() {
                    // Nodes and projects appear once a cluster is active; features and images are always empty.
                    let may_be_empty = ["nodes", "projects", "features", "rkek8ssystemimages"]
                        .iter()
                        .any(|name| path.ends_with(name));
                    assert!(!elements.is_empty() || may_be_empty, "{url} returns an empty list");
                }
            }
        }
        paths.len()
    }

    fn assert_no_problems(self) {
        let problems: Vec<_> = self.problems.into_iter().collect();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}

/// The paths whose requests need a credential and a region.
const PATHS_WITH_REGION: [&str; 2] = ["/api/v1/kubernetes-versions", "/api/v1/vm-sizes"];

/// A cluster with every key of a specification.
fn cluster_with_all_keys(app: &TestApp, credential: &str) -> Value {
    let seed = &app.seed;
    let pools = json!([
        {"name": "system", "availabilityZones": ["1", "2"], "count": 1, "enableAutoScaling": false, "maxPods": 60,
            "maxSurge": "1", "mode": "System", "nodeLabels": {"pool": "system"}, "osDiskSizeGB": 64,
            "orchestratorVersion": seed.kubernetes_version, "osDiskType": "Managed", "osType": "Linux",
            "vmSize": "Standard_DS2_v2"},
        {"name": "user", "count": 2, "enableAutoScaling": true, "minCount": 1, "maxCount": 3, "maxPods": 110,
            "mode": "User", "nodeTaints": ["dedicated=batch:NoSchedule"], "osDiskSizeGB": 128,
            "orchestratorVersion": seed.kubernetes_version, "osDiskType": "Managed", "osType": "Linux",
            "vmSize": "Standard_D4s_v3"},
    ]);
    json!({
        "name": "everything", "description": "words", "labels": {"team": "a"}, "annotations": {"a": "b"},
        "agentEnvVars": [{"name": "A", "value": "b"}], "desiredAgentImage": "mine/agent:1", "enableNetworkPolicy": false,
        "fleetWorkspaceName": "fleet-default", "localClusterAuthEndpoint": {"enabled": false},
        "clusterAgentDeploymentCustomization": {"appendTolerations": [{"key": "a", "operator": "Exists"}]},
        "importedConfig": {"privateRegistryURL": "registry.example.org"},
        "aksConfig": {
            "authorizedIpRanges": ["203.0.113.0/24"], "azureCredentialSecret": credential, "clusterName": "everything",
            "dnsPrefix": "everything", "dnsServiceIp": "10.1.0.10", "httpApplicationRouting": false, "imported": false,
            "kubernetesVersion": seed.kubernetes_version, "linuxAdminUsername": "azureuser", "loadBalancerSku": "Standard",
            "logAnalyticsWorkspaceGroup": seed.resource_group, "logAnalyticsWorkspaceName": seed.log_workspace,
            "monitoring": true, "networkPlugin": "azure", "networkPolicy": "azure", "nodeResourceGroup": "everything-nodes",
            "outboundType": "loadBalancer", "privateCluster": false, "resourceGroup": seed.resource_group,
            "resourceLocation": seed.location, "serviceCidr": "10.1.0.0/16",
            "sshPublicKey": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC0 test@example.invalid", "subnet": seed.subnet,
            "tags": {"owner": "team-a"}, "virtualNetwork": seed.virtual_network,
            "virtualNetworkResourceGroup": seed.resource_group,
            "nodePools": pools,
        },
    })
}

fn import_body(app: &TestApp, credential: &str, name: &str) -> Value {
    json!({"name": name, "aksConfig": {"clusterName": name, "resourceGroup": app.seed.resource_group,
        "resourceLocation": app.seed.location, "imported": true, "azureCredentialSecret": credential}})
}

/// Starts with objects of every type: three clusters that reach different states, and the objects that belong to them.
async fn start_with_objects() -> TestContext {
    let mut context = TestContext::start().await;
    let seed = azure_sandbox::Sandbox::seed();
    let credential = json!({"name": "azure", "description": "words", "labels": {"a": "b"},
        "azurecredentialConfig": context.app.credential(&Value::Null)});
    let credential = string_at(&context.create("/v3/cloudcredentials", &credential).await, "id");
    let mut clusters = Vec::new();
    for body in [
        import_body(&context.app, &credential, seed.imported_cluster_name),
        cluster_with_all_keys(&context.app, &credential),
        import_body(&context.app, &credential, "never-there"),
    ] {
        clusters.push(string_at(&context.create("/v3/clusters", &body).await, "id"));
    }
    for collection in ["clusterregistrationtokens", "clusterroletemplatebindings", "nodes", "projects"] {
        context.ids.insert(format!("/v3/clusters/{{id}}/{collection}"), clusters.clone());
    }
    let ben = context.app.token("ben").await;
    let ben = context.app.user_id(&ben).await;
    let body = json!({"clusterId": clusters[0], "userId": ben, "roleTemplateId": "read-only"});
    let binding = string_at(&context.create("/v3/clusterroletemplatebindings", &body).await, "id");
    assert!(binding.starts_with(&clusters[0]));
    let creator_binding = format!("{}:creator-cluster-owner", clusters[0]);
    context.ids.get_mut("/v3/clusterroletemplatebindings/{id}").unwrap().push(creator_binding);
    let body = json!({"clusterId": clusters[0], "name": "more"});
    context.create("/v3/clusterregistrationtokens", &body).await;
    let default_token = format!("{}:default-token", clusters[0]);
    context.ids.get_mut("/v3/clusterregistrationtokens/{id}").unwrap().push(default_token);
    context.create("/v3/tokens", &json!({})).await;
    context
        .create("/v3/tokens", &json!({"ttl": 60_000_000, "description": "x", "clusterId": clusters[0]}))
        .await;
    context.ids.insert("/v3/users/{id}".to_owned(), vec![ben]);
    context.ids.insert("/v3/projects/{id}".to_owned(), Vec::new());
    context.ids.insert("/v3/nodes/{id}".to_owned(), Vec::new());
    context.ids.insert("/v3/features/{id}".to_owned(), Vec::new());
    for (collection, list) in [
        ("settings", "/v3/settings"),
        ("roletemplates", "/v3/roletemplates"),
        ("schemas", "/v3/schemas"),
        ("nodedrivers", "/v3/nodedrivers"),
        ("kontainerdrivers", "/v3/kontainerdrivers"),
    ] {
        let ids = context.app.get(list).send().await.ids();
        context.ids.insert(format!("/v3/{collection}/{{id}}"), ids);
    }
    context
}

#[tokio::test]
async fn responses_match_openapi_in_every_cluster_state() {
    let mut context = start_with_objects().await;
    let clusters = context.ids["/v3/clusters/{id}"].clone();
    let get_cluster = async |context: &TestContext, id: &str| {
        context.app.get(&format!("/v3/clusters/{id}")).send().await.json()
    };
    assert!(context.read_everything().await > 25);

    // A cluster in progress has its current wait and the steps so far.
    let mut cluster = get_cluster(&context, &clusters[1]).await;
    for _ in 0..10 {
        if cluster["aksStatus"]["waiting"].is_object() && cluster["aksStatus"]["steps"].is_array() {
            break;
        }
        context.app.advance(Duration::from_secs(2)).await;
        cluster = get_cluster(&context, &clusters[1]).await;
    }
    assert!(
        cluster["aksStatus"]["waiting"].is_object() && cluster["aksStatus"]["steps"].is_array(),
        "{cluster}"
    );
    context.read_everything().await;

    context.app.advance(Duration::from_mins(4)).await;
    for (id, is_active) in [(&clusters[0], true), (&clusters[1], true), (&clusters[2], false)] {
        let cluster = get_cluster(&context, id).await;
        assert_eq!(cluster["state"] == "active", is_active, "{cluster}");
        assert_eq!(cluster["transitioning"] == "error", !is_active, "{cluster}");
    }
    let projects = context.app.get("/v3/projects").send().await.ids();
    context.ids.insert("/v3/projects/{id}".to_owned(), projects);
    let nodes = context.app.get("/v3/nodes").send().await.ids();
    assert!(!nodes.is_empty());
    context.ids.insert("/v3/nodes/{id}".to_owned(), nodes);
    assert_eq!(context.ids["/v3/projects/{id}"].len(), 4);
    context.read_everything().await;

    // A change and a deletion.
    let path = format!("/v3/clusters/{}", clusters[1]);
    let changed = context
        .app
        .put(&path)
        .json(&json!({"name": "everything", "aksConfig": {"tags": {"a": "b"}}}))
        .send()
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    context.compare("put", "/v3/clusters/{id}", &changed);
    context.read_everything().await;
    context.app.settle().await;
    let action = context.app.post(&format!("{path}?action=generateKubeconfig")).send().await.expect(200);
    context.compare("post", "/v3/clusters/{id}", &action);
    let removed = context.app.delete(&path).send().await.expect(200);
    context.compare("delete", "/v3/clusters/{id}", &removed);
    assert_eq!(get_cluster(&context, &clusters[1]).await["state"], "removing");
    for path in ["/v3/projects/{id}", "/v3/nodes/{id}"] {
        context.ids.get_mut(path).unwrap().retain(|id| !id.starts_with(&clusters[1]));
    }
    context.read_everything().await;
    context.assert_no_problems();
}

#[tokio::test]
async fn update_and_delete_match_openapi() {
    let mut context = start_with_objects().await;
    let id = |context: &TestContext, path: &str| context.ids[path][0].clone();
    for (path, body) in [
        ("/v3/cloudcredentials/{id}", json!({"description": "other"})),
        ("/v3/clusterroletemplatebindings/{id}", json!({"roleTemplateId": "cluster-owner"})),
        ("/v3/settings/{id}", json!({"value": "always"})),
    ] {
        let url = path.replace("{id}", &id(&context, path));
        let changed = context.app.put(&url).json(&body).send().await;
        assert_eq!(changed.status, 200, "{url}: {}", changed.text());
        context.compare("put", path, &changed);
    }
    for path in
        ["/v3/clusterroletemplatebindings/{id}", "/v3/clusterregistrationtokens/{id}", "/v3/tokens/{id}"]
    {
        let url = path.replace("{id}", &id(&context, path));
        let deleted = context.app.delete(&url).send().await;
        assert_eq!(deleted.status, 200, "{url}: {}", deleted.text());
        context.compare("delete", path, &deleted);
    }
    let credential = json!({"name": "short", "azurecredentialConfig": {"clientId": "c"}});
    let credential = string_at(&context.create("/v3/cloudcredentials", &credential).await, "id");
    let deleted = context.app.delete(&format!("/v3/cloudcredentials/{credential}")).send().await.expect(200);
    context.compare("delete", "/v3/cloudcredentials/{id}", &deleted);
    let body = cluster_with_all_keys(&context.app, &context.ids["/v3/cloudcredentials/{id}"][0]);
    let review =
        context.app.post("/api/v1/aks/review").json(&json!({"aksConfig": body["aksConfig"]})).send().await;
    assert_eq!(review.status, 200, "{}", review.text());
    context.compare("post", "/api/v1/aks/review", &review);
    context.assert_no_problems();
}

#[tokio::test]
async fn errors_match_openapi() {
    let mut context = TestContext::start().await;
    let operations: Vec<(String, String)> = ["get", "put", "post", "delete"]
        .into_iter()
        .flat_map(|method| {
            context.document.operations(method).map(move |(path, _)| (method.to_owned(), path.to_owned()))
        })
        .filter(|(_, path)| path.starts_with("/v3") || path.starts_with("/api/v1"))
        .collect();
    assert!(operations.len() > 45, "{operations:?}");
    let mut statuses = BTreeMap::<u16, usize>::new();
    for (method, path) in operations {
        let url = path.replace("{id}", "c-none1:x");
        let call = || context.app.call(method.to_uppercase().parse::<Method>().unwrap(), &url);
        let responses = [
            call().anonymous().send().await,
            call().json(&json!({})).send().await,
            call().body("{").send().await,
            call().json(&json!({"name": 1, "clusterId": "c-none1", "userId": "u", "roleTemplateId": "x", "ttl": -1,
                "aksConfig": {}, "azurecredentialConfig": {}, "value": "x"})).send().await,
        ];
        for response in responses {
            if response.status.is_client_error() {
                *statuses.entry(response.status.as_u16()).or_default() += 1;
                context.compare(&method, &path, &response);
            }
            assert!(!response.status.is_server_error(), "{method} {url}: {}", response.text());
        }
    }
    assert!(
        [401, 404, 422].iter().all(|status| statuses.get(status).is_some_and(|count| *count > 10)),
        "{statuses:?}"
    );
    context.assert_no_problems();
}

/// Listing actions have their own schemas.
#[tokio::test]
async fn listings_match_openapi() {
    let mut context = TestContext::start().await;
    let credential = context.app.store_credential(&context.app.admin).await;
    let mut body = import_body(&context.app, &credential, context.app.seed.imported_cluster_name);
    body["aksConfig"]["kubernetesVersion"] = json!(context.app.seed.kubernetes_version);
    let cluster = string_at(&context.create("/v3/clusters", &body).await, "id");
    let paths: Vec<String> = context
        .document
        .operations("get")
        .map(|(path, _)| path.to_owned())
        .filter(|path| path.starts_with("/meta/"))
        .collect();
    assert_eq!(paths.len(), 8, "the number of listing actions; adapt it to a new one: {paths:?}");
    for path in paths {
        let query = format!(
            "cloudCredentialId={credential}&region={}&clusterId={cluster}",
            context.app.seed.location
        );
        let response = context.app.get(&format!("{path}?{query}")).send().await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        context.compare("get", &path, &response);
        let failed = context.app.get(&path).send().await;
        assert!(failed.status.is_client_error(), "{path}: {}", failed.text());
        context.compare("get", &path, &failed);
    }
    context.assert_no_problems();
}
