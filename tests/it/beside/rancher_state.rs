//! A Rancher with users, credentials and clusters that a test changes. Statuses and bodies of `/v1/secrets` are those of
//! the recording (`fields/…` in `rancher-auth.json`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use serde_json::{Value, json};

use super::app::seed;
use super::rancher::{self, FakeRancher, RecordedRequest};

/// The credential that [`RancherState::new`] has, and its owner's token.
pub(super) const CREDENTIAL: &str = "cattle-global-data:cc-aaaaa";
pub(super) const OWNER: &str = "token-owner:key-of-the-owner";
/// The token of a user without rights.
pub(super) const OTHER: &str = "token-other:key-of-another-user";

/// The body of Rancher's 401.
pub(super) const UNAUTHORIZED: &str =
    "{\"type\":\"error\",\"status\":\"401\",\"message\":\"Unauthorized 401: must authenticate\"}\n";

#[derive(Default)]
pub(super) struct RancherState(Mutex<Objects>);

#[derive(Default)]
struct Objects {
    /// Users by token.
    users: BTreeMap<String, String>,
    secrets: BTreeMap<String, Object>,
    clusters: BTreeMap<String, Object>,
    cacerts: String,
    resource_version: u64,
}

struct Object {
    body: Value,
    readers: BTreeSet<String>,
}

impl RancherState {
    /// Two users, and a credential of the sandbox's account that only the first may read.
    pub(super) fn new() -> Arc<Self> {
        let state = Self::default();
        state.add_user("owner", OWNER);
        state.add_user("other", OTHER);
        state.put_credential(CREDENTIAL, seed().client_secret, &["owner"]);
        Arc::new(state)
    }

    pub(super) async fn serve(self: &Arc<Self>) -> FakeRancher {
        let state = Arc::clone(self);
        FakeRancher::start(move |request| state.respond(request)).await
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap()
    }

    pub(super) fn add_user(&self, name: &str, token: &str) {
        self.objects().users.insert(token.to_owned(), name.to_owned());
    }

    /// Invalidates a token, like a logout or the deletion of its user.
    pub(super) fn revoke(&self, token: &str) {
        self.objects().users.remove(token);
    }

    /// Stores a credential of the sandbox's account with this secret.
    pub(super) fn put_credential(&self, id: &str, client_secret: &str, readers: &[&str]) {
        self.put_credential_for_subscription(id, seed().subscription_id, client_secret, readers);
    }

    /// Stores a credential for a subscription.
    pub(super) fn put_credential_for_subscription(
        &self,
        id: &str,
        subscription: &str,
        client_secret: &str,
        readers: &[&str],
    ) {
        let seed = seed();
        let is_seed = subscription == seed.subscription_id;
        let tenant = if is_seed { seed.tenant_id } else { azure_sandbox::PLAYED_TENANT };
        let fields = [
            ("clientId", seed.client_id),
            ("clientSecret", client_secret),
            ("subscriptionId", subscription),
            ("tenantId", tenant),
            ("environment", "AzurePublicCloud"),
        ];
        let data =
            fields.map(|(name, value)| (format!("azurecredentialConfig-{name}"), STANDARD.encode(value)));
        self.put_secret(id, &json!(BTreeMap::from(data)), readers);
    }

    /// Stores a Secret with the ID `namespace:name`.
    pub(super) fn put_secret(&self, id: &str, data: &Value, readers: &[&str]) {
        let mut objects = self.objects();
        objects.resource_version += 1;
        let (namespace, name) = id.split_once(':').unwrap();
        let metadata = json!({
            "name": name, "namespace": namespace, "resourceVersion": objects.resource_version.to_string(),
            "annotations": {"field.cattle.io/creatorId": "u-owner"}, "labels": {"cattle.io/creator": "norman"},
        });
        let body = json!({
            "id": format!("{namespace}/{name}"), "type": "secret", "_type": "Opaque", "kind": "Secret",
            "metadata": metadata, "data": data,
        });
        let object = Object { body, readers: readers.iter().map(|&reader| reader.to_owned()).collect() };
        objects.secrets.insert(format!("{namespace}/{name}"), object);
    }

    pub(super) fn delete_credential(&self, id: &str) {
        self.objects().secrets.remove(&id.replacen(':', "/", 1));
    }

    /// Replaces the users who may read a credential.
    pub(super) fn set_readers(&self, id: &str, readers: &[&str]) {
        let mut objects = self.objects();
        let secret = objects.secrets.get_mut(&id.replacen(':', "/", 1)).unwrap();
        secret.readers = readers.iter().map(|&reader| reader.to_owned()).collect();
    }

    /// Stores a cluster with this `aksConfig`.
    pub(super) fn put_cluster(&self, id: &str, aks_config: &Value, readers: &[&str]) {
        let body = json!({"id": id, "metadata": {"name": id}, "spec": {"aksConfig": aks_config}});
        let object = Object { body, readers: readers.iter().map(|&reader| reader.to_owned()).collect() };
        self.objects().clusters.insert(id.to_owned(), object);
    }

    pub(super) fn set_cacerts(&self, pem: &str) {
        pem.clone_into(&mut self.objects().cacerts);
    }

    pub(super) fn respond(&self, request: &RecordedRequest) -> Response<Body> {
        let objects = self.objects();
        let user = token(request).and_then(|token| objects.users.get(&token));
        let path = request.path.split('?').next().unwrap();
        if let Some(id) = path.strip_prefix("/v1/secrets/") {
            return object_response(&objects.secrets, id, user);
        }
        if let Some(id) = path.strip_prefix("/v1/management.cattle.io.clusters/") {
            return object_response(&objects.clusters, id, user);
        }
        match path {
            "/rancherversion" => {
                rancher::json(200, user.is_some(), &json!({"Version": "v2.15.0", "RancherPrime": "false"}))
            }
            "/v3/settings/cacerts" => rancher::json(
                200,
                user.is_some(),
                &json!({"id": "cacerts", "default": "", "value": objects.cacerts, "type": "setting"}),
            ),
            _ if user.is_none() => rancher::text(401, false, UNAUTHORIZED),
            _ if path.starts_with("/meta/") => {
                let mut response = rancher::json(200, true, &json!({"answeredBy": "Rancher"}));
                response.headers_mut().insert("set-cookie", "CSRF=of-rancher".parse().unwrap());
                response
            }
            _ => rancher::json(404, true, &json!({"type": "error", "status": 404})),
        }
    }
}

fn object_response(objects: &BTreeMap<String, Object>, id: &str, user: Option<&String>) -> Response<Body> {
    let Some(user) = user else { return rancher::text(401, false, UNAUTHORIZED) };
    match objects.get(id) {
        Some(object) if object.readers.contains(user) => rancher::json(200, true, &object.body),
        _ => rancher::json(
            403,
            true,
            &json!({"type": "error", "code": "PermissionDenied", "message": "Method GET not supported", "status": 403}),
        ),
    }
}

/// The token that Rancher uses: from `Authorization` unless it is empty, else from the cookie.
fn token(request: &RecordedRequest) -> Option<String> {
    let authorization = request.header("authorization");
    if authorization.is_empty() {
        let cookies = request.header_values("cookie").join("; ");
        let cookie = cookies.split("; ").find_map(|pair| pair.strip_prefix("R_SESS="))?;
        return Some(cookie.to_owned());
    }
    let (scheme, value) = authorization.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(value.to_owned()),
        "basic" => String::from_utf8(STANDARD.decode(value).ok()?).ok(),
        _ => None,
    }
}
