//! Rights inside clusters: members try every known way to gain more rights, owners open and close namespaces, and users who
//! lose their role lose all rights. Runs on the sandbox; `tests/real-kubernetes.sh` runs the same attempts on a
//! real kube-apiserver.

mod attempts;
mod keeping;
mod leftovers;
mod real;
mod upgrade;

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::app::{TestApp, TestResponse};
use crate::support::test_clusters;

/// The namespace that the owner opened for members, and one that is closed.
pub(crate) const OPEN: &str = "open";
pub(crate) const CLOSED: &str = "closed";

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// A cluster with an owner, a member and a reader, and the server that maintains their rights.
struct Cluster {
    app: TestApp,
    id: String,
    owner: String,
    member: String,
    reader: String,
}

impl Cluster {
    /// A cluster in the sandbox, with the namespaces [`OPEN`] and [`CLOSED`].
    async fn start() -> Self {
        let cluster = Self::create_in(TestApp::start().await).await;
        cluster.app.server.keep_roles();
        cluster.create_objects().await;
        cluster
    }

    /// A cluster in the sandbox, whose rights are not maintained yet.
    async fn create_in(app: TestApp) -> Self {
        let owner = app.token("ann").await;
        let (id, _) = test_clusters::create_active(&app, &owner, "one").await;
        Self::with_members(app, id, owner).await
    }

    async fn with_members(app: TestApp, id: String, owner: String) -> Self {
        let member = test_clusters::add_member(&app, &id, "ben", "cluster-member").await;
        let reader = test_clusters::add_member(&app, &id, "eve", "read-only").await;
        Self { app, id, owner, member, reader }
    }

    /// Creates the namespaces and the objects that the attempts use, as the owner.
    async fn create_objects(&self) {
        for (name, labels) in [(OPEN, json!({"norman-aks.io/members": "edit"})), (CLOSED, json!({}))] {
            let namespace = json!({"metadata": {"name": name, "labels": labels}});
            self.create("/api/v1/namespaces", &namespace).await;
            // A service account that gets all rights below, as those of operators have.
            let robot = json!({"metadata": {"name": "robot"}});
            self.create(&format!("/api/v1/namespaces/{name}/serviceaccounts"), &robot).await;
            let secret = json!({"metadata": {"name": "hidden"}, "stringData": {"password": "canary"}});
            self.create(&format!("/api/v1/namespaces/{name}/secrets"), &secret).await;
            self.create(&format!("/api/v1/namespaces/{name}/pods"), &pod("victim", "robot")).await;
        }
        let robots: Vec<_> = [OPEN, CLOSED]
            .map(|name| json!({"kind": "ServiceAccount", "name": "robot", "namespace": name}))
            .to_vec();
        self.create(&format!("{RBAC}/clusterrolebindings"), &binding("robots", "cluster-admin", &robots))
            .await;
        self.wait_until_member_can_edit(OPEN).await;
    }

    /// Creates an object as the owner; an existing one is unchanged.
    async fn create(&self, path: &str, object: &Value) {
        // A pod is rejected until a controller has created its service account.
        for _ in 0..200 {
            let response = self.call(&self.owner, "POST", path, Some(object)).await;
            match response.status {
                StatusCode::CREATED | StatusCode::CONFLICT => return,
                StatusCode::FORBIDDEN if response.text().contains("service account") => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                status => panic!("POST {path}: {status} {}", response.text()),
            }
        }
        panic!("{path}: its service account was not created");
    }

    async fn call(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> TestResponse {
        let content_type = if method == "PATCH" { MERGE_PATCH } else { JSON };
        self.send(token, method, path, content_type, body).await
    }

    async fn send(
        &self,
        token: &str,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> TestResponse {
        let method: Method = method.parse().unwrap();
        let call = self.app.call(method, &format!("/k8s/clusters/{}{path}", self.id)).token(token);
        let call = call.header("content-type", content_type);
        match body {
            Some(body) => call.json(body).send().await,
            None => call.send().await,
        }
    }

    /// Whether the cluster allows a caller to do something.
    async fn is_allowed(&self, token: &str, attributes: &Value) -> bool {
        let review = json!({"spec": {"resourceAttributes": attributes}});
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        self.call(token, "POST", path, Some(&review)).await.expect(201).json()["status"]["allowed"] == true
    }

    async fn member_can_edit(&self, namespace: &str) -> bool {
        self.is_allowed(&self.member, &json!({"verb": "create", "resource": "pods", "namespace": namespace}))
            .await
    }

    async fn wait_until_member_can_edit(&self, namespace: &str) {
        self.wait_until(&format!("member edits in {namespace}"), async || {
            self.member_can_edit(namespace).await
        })
        .await;
    }

    async fn wait_until_member_cannot_edit(&self, namespace: &str) {
        let what = format!("member no longer edits in {namespace}");
        self.wait_until(&what, async || !self.member_can_edit(namespace).await).await;
    }

    /// Waits until a condition is met, at most a minute.
    async fn wait_until(&self, what: &str, is_met: impl AsyncFn() -> bool) {
        for _ in 0..1_200 {
            if is_met().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not within a minute: {what}");
    }

    /// Waits until the owner finds the object, or no longer finds it if `exists` is false.
    async fn wait_until_exists(&self, path: &str, exists: bool) {
        let expected = if exists { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let what = format!("{path} is {expected}");
        self.wait_until(&what, async || self.call(&self.owner, "GET", path, None).await.status == expected)
            .await;
    }

    async fn set_members_label(&self, namespace: &str, value: Option<&str>) {
        let body = json!({"metadata": {"labels": {"norman-aks.io/members": value}}});
        let path = format!("/api/v1/namespaces/{namespace}");
        self.call(&self.owner, "PATCH", &path, Some(&body)).await.expect(200);
    }

    /// The messages of the cluster's events about rights.
    async fn access_events(&self) -> Vec<String> {
        let path = format!("/api/v1/clusters/{}/events", self.id);
        let response = self.app.get(&path).header("accept", JSON).send().await.expect(200);
        let events = response.json()["events"].as_array().unwrap().clone();
        let access = events.iter().filter(|event| event["kind"] == "access");
        access.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    }

    async fn wait_for_event(&self, part: &str) -> String {
        let find = async || self.access_events().await.into_iter().find(|message| message.contains(part));
        self.wait_until(&format!("an event with {part:?}"), async || find().await.is_some()).await;
        find().await.unwrap()
    }
}

fn pod(name: &str, account: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "serviceAccountName": account, "containers": [{"name": "a", "image": "example.org/a:1"}],
    }})
}

fn role_ref(role: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role})
}

fn user(name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name})
}

fn binding(name: &str, role: &str, subjects: &[Value]) -> Value {
    json!({"metadata": {"name": name}, "roleRef": role_ref(role), "subjects": subjects})
}
