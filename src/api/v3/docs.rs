//! What the operations below `/v3` have in common in the API document.

use std::collections::BTreeMap;

use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses};

use crate::api::openapi::failures;
pub(super) use crate::api::openapi::failures::{ChangeFailures, ReadFailures};

/// How the POST of one object can fail.
pub(super) struct PostFailures;

impl IntoResponses for PostFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        failures::references(failures::POST)
    }
}

/// Which part of a list is wanted. Every plain field of the type filters too: `?<field>=<value>`, or
/// `?<field>_<modifier>=<value>` with `ne`, `in`, `notin`, `null` or `notnull`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which norman::filters reads")]
pub(super) struct ListQuery {
    /// Only objects of this name.
    #[param(example = "my azure")]
    name: Option<String>,
    /// Objects of a page: 1,000 unless told, at most 10,000.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u32>,
    /// The id of the last object of the page before.
    marker: Option<String>,
    /// The field to sort by; the id unless told.
    sort: Option<String>,
    /// `asc` or `desc`.
    order: Option<String>,
}

/// The caller himself.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which norman::filters reads")]
pub(super) struct UserQuery {
    /// `true`: only the caller.
    me: Option<bool>,
}

/// Whose parts are wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which norman::filters reads")]
pub(super) struct PartQuery {
    /// Only those of this cluster.
    #[param(rename = "clusterId", example = "c-x7k9z")]
    cluster_id: Option<String>,
}

/// How a change is meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the handlers read")]
pub(super) struct ChangeQuery {
    /// `true`: what the body does not name is cleared. Otherwise it stays.
    #[param(rename = "_replace")]
    replace: Option<bool>,
}

/// How a removal is meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the handlers read")]
pub(super) struct RemovalQuery {
    /// `true`: only the object goes, at once, and nothing in Azure: for those whose credential is gone, or whom Azure
    /// refuses. The answer names what stays.
    force: Option<bool>,
}

/// How the deletion of a credential is meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the handlers read")]
pub(super) struct ErasureQuery {
    /// `true`: the credential is erased at once, also one whose deletion is pending. Clusters that use it have none from then
    /// on.
    force: Option<bool>,
}

/// An action of an object, or another method for clients that can only POST.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which the handlers read")]
pub(super) struct ActionQuery {
    /// The action, as the object's `actions` names it.
    action: Option<String>,
    /// `PUT` or `DELETE`.
    #[param(rename = "_method")]
    method: Option<String>,
}
