//! Reviews the rights that this server needs inside a cluster.

use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::error::Error;
use crate::kube_client::KubeClient;

/// Verb, API group and resource of each right.
const REQUIRED_RIGHTS: [(&str, &str, &str); 3] = [
    ("impersonate", "", "users"),
    ("impersonate", "", "groups"),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
];

/// Checks each right with a `SelfSubjectAccessReview`.
pub(super) async fn check(kube: &KubeClient) -> Result<(), Error> {
    for (verb, group, resource) in REQUIRED_RIGHTS {
        let attributes = json!({"verb": verb, "group": group, "resource": resource});
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes}});
        let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(review.to_string().into_bytes());
        let response: Value = serde_json::from_str(&kube.request_text(request).await?).unwrap_or_default();
        match response.pointer("/status/allowed").and_then(Value::as_bool) {
            Some(true) => {}
            Some(false) => {
                let message = format!("this server may not {verb} {resource}");
                return Err(Error::ErrorResponse {
                    host: kube.host.clone(),
                    status: StatusCode::FORBIDDEN,
                    message,
                });
            }
            None => return Err(kube.unreadable("the access review has no result")),
        }
    }
    Ok(())
}
