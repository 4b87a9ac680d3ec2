//! Requests that the cluster must deny to members and readers, and requests that it must allow.

use http::StatusCode;
use serde_json::{Value, json};

use super::{CLOSED, Cluster, JSON, MERGE_PATCH, OPEN, RBAC, binding, pod, role_ref, user};

const APPLY_PATCH: &str = "application/apply-patch+yaml";
const STRATEGIC_MERGE_PATCH: &str = "application/strategic-merge-patch+json";

/// A request to the cluster.
struct Attempt {
    method: &'static str,
    path: String,
    content_type: &'static str,
    body: Option<Value>,
}

fn get(path: impl Into<String>) -> Attempt {
    Attempt { method: "GET", path: path.into(), content_type: JSON, body: None }
}

fn post(path: impl Into<String>, body: Value) -> Attempt {
    Attempt { method: "POST", path: path.into(), content_type: JSON, body: Some(body) }
}

fn put(path: impl Into<String>, body: Value) -> Attempt {
    Attempt { method: "PUT", path: path.into(), content_type: JSON, body: Some(body) }
}

fn patch(content_type: &'static str, path: impl Into<String>, body: Value) -> Attempt {
    Attempt { method: "PATCH", path: path.into(), content_type, body: Some(body) }
}

fn delete(path: impl Into<String>) -> Attempt {
    Attempt { method: "DELETE", path: path.into(), content_type: JSON, body: None }
}

/// Namespaces where members have no rights.
const CLOSED_NAMESPACES: [&str; 4] = ["kube-system", "cattle-system", "default", CLOSED];

/// Attempts to read Secrets, and to get tokens of service accounts.
fn secret_attempts() -> Vec<Attempt> {
    let mut attempts = vec![
        get("/api/v1/secrets"),
        get("/api/v1/secrets?watch=true"),
        get("/api/v1/configmaps"),
        get("/api/v1/serviceaccounts"),
        get(format!("/api/v1/namespaces/{CLOSED}/secrets/hidden")),
        get(format!("/api/v1/namespaces/{CLOSED}/secrets?fieldSelector=metadata.name%3Dhidden")),
        get("/api/v1/namespaces/cattle-system/secrets/kontainer-engine-token"),
        delete(format!("/api/v1/namespaces/{CLOSED}/secrets")),
    ];
    let token_request = json!({"spec": {"expirationSeconds": 31_536_000, "audiences": []}});
    for namespace in CLOSED_NAMESPACES.into_iter().chain([OPEN]) {
        let account = if namespace == CLOSED || namespace == OPEN { "robot" } else { "default" };
        attempts.push(post(
            format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"),
            token_request.clone(),
        ));
    }
    for namespace in CLOSED_NAMESPACES {
        let token_secret = json!({"type": "kubernetes.io/service-account-token", "metadata": {
            "generateName": "t-", "annotations": {"kubernetes.io/service-account.name": "default"}}});
        attempts.push(get(format!("/api/v1/namespaces/{namespace}/secrets")));
        attempts.push(get(format!("/api/v1/namespaces/{namespace}/secrets?watch=true")));
        attempts.push(post(format!("/api/v1/namespaces/{namespace}/secrets"), token_secret));
    }
    attempts
}

/// Attempts to run or change workloads in namespaces with more privileged service accounts.
fn workload_attempts() -> Vec<Attempt> {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod("x", "robot")["spec"]});
    let selector = json!({"matchLabels": {"a": "b"}});
    let debug_container =
        json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "example.org/d:1"}]}});
    let mut attempts = vec![
        patch(
            STRATEGIC_MERGE_PATCH,
            format!("/api/v1/namespaces/{CLOSED}/pods/victim/ephemeralcontainers"),
            debug_container.clone(),
        ),
        patch(
            STRATEGIC_MERGE_PATCH,
            "/api/v1/namespaces/kube-system/pods/any/ephemeralcontainers",
            debug_container,
        ),
        patch(
            MERGE_PATCH,
            format!("/api/v1/namespaces/{CLOSED}/pods/victim"),
            json!({"metadata": {"labels": {"a": "b"}}}),
        ),
        get(format!("/api/v1/namespaces/{CLOSED}/pods/victim/exec?command=sh&container=a")),
        post(format!("/api/v1/namespaces/{CLOSED}/pods/victim/exec?command=sh&container=a"), json!({})),
        post(format!("/api/v1/namespaces/{CLOSED}/pods/victim/attach?container=a"), json!({})),
        post(format!("/api/v1/namespaces/{CLOSED}/pods/victim/portforward"), json!({})),
        get(format!("/api/v1/namespaces/{CLOSED}/pods/victim/log")),
        post(
            format!("/api/v1/namespaces/{CLOSED}/pods/victim/eviction"),
            json!({"metadata": {"name": "victim"}}),
        ),
        delete("/api/v1/namespaces/kube-system/pods"),
        patch(
            MERGE_PATCH,
            "/apis/apps/v1/namespaces/kube-system/deployments/coredns",
            json!({"metadata": {"labels": {"a": "b"}}}),
        ),
        patch(
            MERGE_PATCH,
            "/apis/apps/v1/namespaces/kube-system/deployments/coredns/scale",
            json!({"spec": {"replicas": 0}}),
        ),
        patch(MERGE_PATCH, "/api/v1/namespaces/kube-system/configmaps/coredns", json!({"data": {"a": "b"}})),
    ];
    for namespace in CLOSED_NAMESPACES {
        let account = if namespace == CLOSED { "robot" } else { "default" };
        attempts.push(post(format!("/api/v1/namespaces/{namespace}/pods"), pod("mine", account)));
        attempts.push(post(
            format!("/apis/apps/v1/namespaces/{namespace}/deployments"),
            json!({"metadata": {"name": "mine"}, "spec": {"selector": selector, "template": template}}),
        ));
        attempts.push(post(
            format!("/apis/batch/v1/namespaces/{namespace}/jobs"),
            json!({"metadata": {"name": "mine"}, "spec": {"template": template}}),
        ));
        attempts.push(get(format!("/api/v1/namespaces/{namespace}/pods")));
    }
    attempts
}

/// Attempts to write roles and bindings: new ones, and those of the server.
fn rbac_attempts(user_id: &str) -> Vec<Attempt> {
    let subjects = [user(user_id)];
    let all_rights = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let role = json!({"metadata": {"name": "mine"}, "rules": all_rights});
    let aggregated = json!({"metadata": {"name": "mine"}, "aggregationRule": {
        "clusterRoleSelectors": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}]}});
    let mut attempts = vec![
        post(format!("{RBAC}/clusterrolebindings"), binding("mine", "cluster-admin", &subjects)),
        post(format!("{RBAC}/clusterrolebindings"), binding("mine", "norman-aks-member", &subjects)),
        post(format!("{RBAC}/clusterroles"), role.clone()),
        post(format!("{RBAC}/clusterroles"), aggregated),
        patch(MERGE_PATCH, format!("{RBAC}/clusterrolebindings/robots"), json!({"subjects": subjects})),
    ];
    for namespace in CLOSED_NAMESPACES.into_iter().chain([OPEN]) {
        let rbac = format!("{RBAC}/namespaces/{namespace}");
        attempts.push(post(format!("{rbac}/rolebindings"), binding("mine", "cluster-admin", &subjects)));
        attempts.push(post(
            format!("{rbac}/rolebindings"),
            binding("mine", "norman-aks-namespace-edit", &subjects),
        ));
        attempts.push(post(format!("{rbac}/roles"), role.clone()));
        let role_binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "norman-aks-namespace-edit"}, "roleRef": role_ref("norman-aks-namespace-edit"),
            "subjects": subjects});
        attempts.push(patch(
            APPLY_PATCH,
            format!("{rbac}/rolebindings/norman-aks-namespace-edit?fieldManager=me&force=true"),
            role_binding,
        ));
    }
    let label = json!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}});
    for name in ["norman-aks-member", "norman-aks-namespace-edit", "cluster-admin", "view", "edit"] {
        attempts.push(patch(MERGE_PATCH, format!("{RBAC}/clusterroles/{name}"), label.clone()));
        attempts.push(patch(
            MERGE_PATCH,
            format!("{RBAC}/clusterroles/{name}"),
            json!({"rules": all_rights}),
        ));
        attempts.push(put(format!("{RBAC}/clusterroles/{name}"), role.clone()));
        attempts.push(delete(format!("{RBAC}/clusterroles/{name}")));
    }
    for name in ["norman-aks-cluster-owner", "norman-aks-member", "norman-aks-read-only"] {
        attempts.push(delete(format!("{RBAC}/clusterrolebindings/{name}")));
        attempts.push(patch(
            MERGE_PATCH,
            format!("{RBAC}/clusterrolebindings/{name}"),
            json!({"subjects": subjects}),
        ));
    }
    attempts.push(delete(format!("{RBAC}/namespaces/{OPEN}/rolebindings/norman-aks-namespace-edit")));
    attempts.push(delete(format!("{RBAC}/namespaces/{OPEN}/rolebindings")));
    attempts.push(delete(format!("{RBAC}/clusterrolebindings")));
    attempts
}

/// Attempts to open namespaces, and to create new ones.
fn namespace_attempts() -> Vec<Attempt> {
    let open_label = json!({"metadata": {"labels": {"norman-aks.io/members": "edit"}}});
    let mut attempts = vec![
        post(
            "/api/v1/namespaces",
            json!({"metadata": {"name": "mine", "labels": open_label["metadata"]["labels"]}}),
        ),
        patch(MERGE_PATCH, "/api/v1/namespaces/new", open_label.clone()),
        delete(format!("/api/v1/namespaces/{OPEN}")),
        delete(format!("/api/v1/namespaces/{CLOSED}")),
        put(
            format!("/api/v1/namespaces/{CLOSED}/finalize"),
            json!({"metadata": {"name": CLOSED}, "spec": {"finalizers": []}}),
        ),
        patch(MERGE_PATCH, format!("/api/v1/namespaces/{CLOSED}/status"), open_label.clone()),
        // Pod security is a label of the namespace too.
        patch(
            MERGE_PATCH,
            format!("/api/v1/namespaces/{OPEN}"),
            json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
        ),
    ];
    for namespace in CLOSED_NAMESPACES.into_iter().chain([OPEN]) {
        let apply = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace,
            "labels": open_label["metadata"]["labels"]}});
        let path = format!("/api/v1/namespaces/{namespace}");
        attempts.push(patch(MERGE_PATCH, path.clone(), open_label.clone()));
        attempts.push(patch(APPLY_PATCH, format!("{path}?fieldManager=me&force=true"), apply.clone()));
        attempts.push(put(path, apply));
    }
    attempts
}

/// Attempts at indirect access, through nodes, proxies, certificates, webhooks and other components.
fn indirect_attempts() -> Vec<Attempt> {
    let with_spec = |spec: Value| json!({"spec": spec});
    let webhook = json!({"metadata": {"name": "mine"}, "webhooks": []});
    let signing_request = json!({"metadata": {"name": "mine"}, "spec": {"request": "LQ==", "usages": ["client auth"],
        "signerName": "kubernetes.io/kube-apiserver-client"}});
    let certificates = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    vec![
        get("/api/v1/nodes/any/proxy/pods"),
        get("/api/v1/nodes/any/proxy/"),
        post("/api/v1/nodes/any/proxy/run/kube-system/p/c", json!({})),
        get("/api/v1/namespaces/kube-system/services/kube-dns:9153/proxy/metrics"),
        get("/api/v1/namespaces/default/services/https:kubernetes:443/proxy/"),
        get(format!("/api/v1/namespaces/{CLOSED}/services/web/proxy/")),
        get(format!("/api/v1/namespaces/{CLOSED}/pods/victim/proxy/")),
        patch(MERGE_PATCH, "/api/v1/nodes/any", json!({"metadata": {"labels": {"a": "b"}}})),
        patch(MERGE_PATCH, "/api/v1/nodes/any/status", json!({"status": {}})),
        delete("/api/v1/nodes/any"),
        post(certificates, signing_request.clone()),
        get(certificates),
        put(format!("{certificates}/mine/approval"), signing_request),
        post("/apis/authentication.k8s.io/v1/tokenreviews", with_spec(json!({"token": "a"}))),
        post(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            with_spec(json!({"user": "a", "resourceAttributes": {"verb": "get", "resource": "pods"}})),
        ),
        post("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", webhook.clone()),
        post("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", webhook),
        post("/apis/apiregistration.k8s.io/v1/apiservices", json!({"metadata": {"name": "v1.mine"}})),
        post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json!({"metadata": {"name": "a.b"}})),
        post(
            "/api/v1/persistentvolumes",
            json!({"metadata": {"name": "mine"}, "spec": {"hostPath": {"path": "/"}}}),
        ),
        post(
            "/apis/storage.k8s.io/v1/storageclasses",
            json!({"metadata": {"name": "mine"}, "provisioner": "a"}),
        ),
        post("/apis/scheduling.k8s.io/v1/priorityclasses", json!({"metadata": {"name": "mine"}, "value": 1})),
        // Controllers elect their leaders with these leases.
        get("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"),
        // An endpoint of a Service in one namespace can be an address in another.
        post(format!("/api/v1/namespaces/{OPEN}/endpoints"), json!({"metadata": {"name": "mine"}})),
        post(
            format!("/api/v1/namespaces/{OPEN}/bindings"),
            json!({"metadata": {"name": "victim"}, "target": {"name": "any"}}),
        ),
        post(format!("/api/v1/namespaces/{OPEN}/resourcequotas"), json!({"metadata": {"name": "mine"}})),
        get("/metrics"),
        get("/logs/"),
        get("/debug/pprof/"),
    ]
}

async fn assert_denied(cluster: &Cluster, token: &str, attempts: &[Attempt]) {
    for Attempt { method, path, content_type, body } in attempts {
        let response = cluster.send(token, method, path, content_type, body.as_ref()).await;
        assert_eq!(response.status, StatusCode::FORBIDDEN, "{method} {path}: {}", response.text());
        let status = response.json();
        assert_eq!((&status["kind"], &status["reason"]), (&json!("Status"), &json!("Forbidden")), "{path}");
        assert!(!response.text().contains("canary"), "{method} {path}");
    }
}

/// Sends every attempt as the member, and the writes as the reader too; all must be denied. Returns the number of writes,
/// impersonations and access reviews, without the reads.
pub(super) async fn try_everything(cluster: &Cluster) -> usize {
    let member_id = cluster.app.user_id(&cluster.member).await;
    let mut count = 0;
    for attempts in [
        secret_attempts(),
        workload_attempts(),
        rbac_attempts(&member_id),
        namespace_attempts(),
        indirect_attempts(),
    ] {
        assert_denied(cluster, &cluster.member, &attempts).await;
        let writes: Vec<_> = attempts.into_iter().filter(|attempt| attempt.method != "GET").collect();
        assert_denied(cluster, &cluster.reader, &writes).await;
        count += writes.len();
    }
    count + try_impersonation(cluster).await + check_access_reviews(cluster).await
}

/// Sends impersonation headers, which must be rejected; returns the number of attempts.
async fn try_impersonation(cluster: &Cluster) -> usize {
    let headers: [&[(&str, &str)]; 4] = [
        &[("impersonate-user", "masterclient"), ("impersonate-group", "system:masters")],
        &[("impersonate-user", "system:serviceaccount:closed:robot")],
        &[("impersonate-group", "system:masters")],
        &[("impersonate-user", "a"), ("impersonate-extra-scopes", "all"), ("impersonate-uid", "0")],
    ];
    for headers in headers {
        let path = format!("/k8s/clusters/{}/api/v1/namespaces/{CLOSED}/secrets/hidden", cluster.id);
        let mut call = cluster.app.get(&path).token(&cluster.member);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let response = call.send().await;
        assert_eq!(response.status, StatusCode::FORBIDDEN, "{headers:?}: {}", response.text());
    }
    headers.len()
}

/// Checks the member's rights with access reviews; returns the number of reviews.
async fn check_access_reviews(cluster: &Cluster) -> usize {
    let rbac = "rbac.authorization.k8s.io";
    let mut count = 0;
    for (verb, group, resource, expected) in [
        ("impersonate", "", "users", false),
        ("impersonate", "", "groups", false),
        ("impersonate", "", "serviceaccounts", false),
        ("bind", rbac, "clusterroles", false),
        ("escalate", rbac, "clusterroles", false),
        ("bind", rbac, "roles", false),
        ("escalate", rbac, "roles", false),
        ("approve", "certificates.k8s.io", "signers", false),
        ("sign", "certificates.k8s.io", "signers", false),
        ("use", "policy", "podsecuritypolicies", false),
        ("*", "*", "*", false),
        ("list", "storage.k8s.io", "storageclasses", true),
        ("list", "storage.k8s.io", "csidrivers", true),
        ("watch", "networking.k8s.io", "ingressclasses", true),
        ("get", "scheduling.k8s.io", "priorityclasses", true),
        ("list", "node.k8s.io", "runtimeclasses", true),
        ("list", "apiregistration.k8s.io", "apiservices", true),
        ("list", "apiextensions.k8s.io", "customresourcedefinitions", true),
        ("list", "metrics.k8s.io", "nodes", true),
        ("list", "", "persistentvolumes", true),
    ] {
        for namespace in ["", OPEN, CLOSED, "kube-system"] {
            let attributes =
                json!({"verb": verb, "group": group, "resource": resource, "namespace": namespace});
            let allowed = cluster.is_allowed(&cluster.member, &attributes).await;
            assert_eq!(allowed, expected, "{verb} {group} {resource} in {namespace:?}");
            count += 1;
        }
    }
    count
}

/// Checks that a member can read the cluster and use an open namespace.
pub(super) async fn check_open_namespace(cluster: &Cluster) {
    let namespace = format!("/api/v1/namespaces/{OPEN}");
    let config_map = json!({"metadata": {"name": "mine"}, "data": {"a": "b"}});
    let debug_container =
        json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "example.org/d:1"}]}});
    let deployment = json!({"metadata": {"name": "mine"}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod("x", "default")["spec"]}}});
    for Attempt { method, path, content_type, body } in [
        get("/api/v1/namespaces"),
        get("/api/v1/nodes"),
        get(format!("{namespace}/secrets/hidden")),
        get(format!("{namespace}/pods")),
        get(format!("{RBAC}/namespaces/{OPEN}/rolebindings")),
        get(format!("{RBAC}/namespaces/{OPEN}/roles")),
        post(format!("{namespace}/configmaps"), config_map),
        patch(MERGE_PATCH, format!("{namespace}/configmaps/mine"), json!({"data": {"a": "c"}})),
        post(format!("/apis/apps/v1/namespaces/{OPEN}/deployments"), deployment),
        patch(
            MERGE_PATCH,
            format!("/apis/apps/v1/namespaces/{OPEN}/deployments/mine/scale"),
            json!({"spec": {"replicas": 2}}),
        ),
        // RBAC cannot prevent this, as the documentation states: pods can run as any service account of their namespace.
        post(format!("{namespace}/pods"), pod("as-robot", "robot")),
        patch(
            STRATEGIC_MERGE_PATCH,
            format!("{namespace}/pods/as-robot/ephemeralcontainers"),
            debug_container,
        ),
        delete(format!("{namespace}/pods/as-robot?gracePeriodSeconds=0")),
        delete(format!("{namespace}/configmaps/mine")),
        delete(format!("/apis/apps/v1/namespaces/{OPEN}/deployments/mine")),
    ] {
        let response = cluster.send(&cluster.member, method, &path, content_type, body.as_ref()).await;
        assert!(response.status.is_success(), "{method} {path}: {} {}", response.status, response.text());
    }
}

/// Checks the rights of the other roles, to show that the denials above do not apply to every caller.
pub(super) async fn check_other_roles(cluster: &Cluster) {
    for (path, owner, reader) in [
        (format!("/api/v1/namespaces/{CLOSED}/secrets/hidden"), 200, 403),
        (format!("/api/v1/namespaces/{CLOSED}/pods"), 200, 200),
        ("/api/v1/secrets".to_owned(), 200, 403),
        (format!("{RBAC}/clusterrolebindings"), 200, 403),
    ] {
        for (token, expected) in [(&cluster.owner, owner), (&cluster.reader, reader)] {
            let response = cluster.call(token, "GET", &path, None).await;
            assert_eq!(response.status.as_u16(), expected, "{path}: {}", response.text());
        }
    }
}

#[tokio::test]
async fn member_cannot_gain_more_rights() {
    let cluster = Cluster::start().await;
    let count = try_everything(&cluster).await;
    assert!(count > 150, "{count} attempts");
    // The denied requests had no effect.
    cluster.wait_until_exists(&format!("{RBAC}/clusterrolebindings/norman-aks-cluster-owner"), true).await;
    assert!(!cluster.member_can_edit(CLOSED).await);
}

#[tokio::test]
async fn member_works_in_open_namespaces() {
    let cluster = Cluster::start().await;
    check_open_namespace(&cluster).await;
    check_other_roles(&cluster).await;
}

#[tokio::test]
async fn namespace_admin_grants_only_its_own_rights() {
    let cluster = Cluster::start().await;
    // The owner gives the member the role `admin` in one namespace.
    let member_id = cluster.app.user_id(&cluster.member).await;
    let bindings = format!("{RBAC}/namespaces/{CLOSED}/rolebindings");
    cluster.create(&bindings, &binding("admin", "admin", &[user(&member_id)])).await;
    let grant = async |role: &str| {
        let role_binding = binding(&format!("grant-{role}"), role, &[user("user-other")]);
        cluster.call(&cluster.member, "POST", &bindings, Some(&role_binding)).await.status.as_u16()
    };
    assert_eq!((grant("view").await, grant("cluster-admin").await), (201, 403));
    let roles = format!("{RBAC}/namespaces/{CLOSED}/roles");
    let role = |rules: Value| json!({"metadata": {"name": "more"}, "rules": rules});
    for (rules, expected) in [
        (json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]), 403),
        (json!([{"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["update"]}]), 403),
        (json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]), 201),
    ] {
        let response = cluster.call(&cluster.member, "POST", &roles, Some(&role(rules))).await;
        assert_eq!(response.status.as_u16(), expected, "{}", response.text());
    }
}
