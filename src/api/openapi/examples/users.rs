//! Responses about users and the audit log, for administrators.

use serde_json::{Value, json};

use super::{CLUSTER, CREDENTIAL};

/// A user, as administrators see one.
pub(super) fn account() -> Value {
    json!({
        "id": "user-gxwms",
        "name": "ann",
        "administrator": false,
        "enabled": true,
        "created": "2026-08-20T10:11:12Z",
        "lastUsed": "2026-08-21T08:00:00Z",
        "tokens": 2,
        "memberships": 1,
        "clusters": 1,
        "cloudCredentials": 1,
    })
}

fn owned_objects() -> (Value, Value) {
    (json!([{"id": CLUSTER, "name": "shop"}]), json!([{"id": CREDENTIAL, "name": "production"}]))
}

/// A user with what the user owns.
pub(super) fn details() -> Value {
    let (clusters, credentials) = owned_objects();
    json!({"user": account(), "clusters": clusters, "cloudCredentials": credentials})
}

/// Deleted cloud credentials that clusters still use.
pub(super) fn pending_credentials() -> Value {
    json!({"cloudCredentials": [{
        "id": CREDENTIAL,
        "name": "production",
        "ownerId": "user-gxwms",
        "deleted": "2026-08-20T10:11:12Z",
        "clusters": [{"id": CLUSTER, "name": "shop"}],
    }]})
}

/// The outcome of removing a user.
pub(super) fn removed() -> Value {
    let (clusters, credentials) = owned_objects();
    json!({
        "user": {"id": "user-gxwms", "name": "ann"},
        "handedOverTo": {"id": "user-5tb7c", "name": "ben"},
        "clusters": clusters,
        "cloudCredentials": credentials,
        "memberships": ["c-q5m2t:crtb-5kq2d"],
        "tokens": 2,
    })
}

/// A page of the audit log.
pub(super) fn audit_page() -> Value {
    json!({
        "data": [{
            "id": "01a209ff-44e3-774a-94cd-94100ad0b89b",
            "time": "2026-08-20T10:11:12.123Z",
            "userId": "user-gxwms",
            "userName": "ann",
            "tokenName": "token-x7k9z",
            "action": "create",
            "objectType": "cluster",
            "objectId": CLUSTER,
            "outcome": "done",
            "requestId": "01a209ff-44e3-774a-94cd-94100ad0b89b",
            "clientIp": "192.0.2.7",
            "detail": "",
        }],
        "next": null,
    })
}
