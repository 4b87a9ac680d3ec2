//! What this server needs to be allowed inside a cluster, and asking the cluster whether it is.

use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::error::Error;
use super::told;

/// Verb, API group and resource of each right.
const NEEDED: [(&str, &str, &str); 3] = [
    ("impersonate", "", "users"),
    ("impersonate", "", "groups"),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
];

/// Asks the cluster for each right.
pub(super) async fn check(client: &kube::Client, host: &str) -> Result<(), Error> {
    for (verb, group, resource) in NEEDED {
        let attributes = json!({"verb": verb, "group": group, "resource": resource});
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes}});
        let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(review.to_string().into_bytes());
        let request = request.map_err(|_| Error::Material("the address"))?;
        let answer = client.request_text(request).await.map_err(|error| told(host, error))?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        match answer.pointer("/status/allowed").and_then(Value::as_bool) {
            Some(true) => {}
            Some(false) => {
                let message = format!("this server may not {verb} {resource}");
                return Err(Error::Refused { host: host.to_owned(), status: StatusCode::FORBIDDEN, message });
            }
            None => return Err(Error::Unreadable { host: host.to_owned(), what: "a review of rights" }),
        }
    }
    Ok(())
}
