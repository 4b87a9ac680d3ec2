//! Types that there are no objects of, and that clients ask for nevertheless: `rkeK8sSystemImage`, which Terraform provider
//! releases from 2.3 to 7 list when they start, and `feature`, so that Terraform forgets a feature that it could not set.

use aks::mask::mask;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::docs::{ListQuery, ReadFailures};
use super::schemas::{FEATURE, RKE_SYSTEM_IMAGE};
use super::{asked_path, spelled};
use crate::api::auth::Authenticated;
use crate::api::norman::collection::Collection;
use crate::api::norman::error::Error;
use crate::api::norman::filters::Query;
use crate::api::norman::links::Links;
use crate::api::norman::openapi::{Form, documented};
use crate::api::state::AppState;

documented!(
    /// A feature flag of Rancher.
    Feature,
    &FEATURE,
    Form::Answer
);
documented!(
    /// A list of feature flags.
    FeatureCollection,
    [Feature]
);
documented!(
    /// The images of a Kubernetes version of RKE.
    RkeK8sSystemImage,
    &RKE_SYSTEM_IMAGE,
    Form::Answer
);
documented!(
    /// A list of images.
    RkeK8sSystemImageCollection,
    [RkeK8sSystemImage]
);

pub(super) fn router() -> OpenApiRouter<AppState> {
    let api = spelled(OpenApiRouter::new(), routes!(list_features), &[]);
    let api = spelled(api, routes!(get_feature), &[]);
    spelled(api, routes!(list_rke_system_images), &["/v3/rkeK8sSystemImages"])
}

/// Always empty: there are no feature flags.
#[utoipa::path(
    get,
    path = "/v3/features",
    operation_id = "listFeatures",
    tag = "Settings",
    params(ListQuery),
    responses((status = 200, description = "One page of the list", body = FeatureCollection), ReadFailures),
)]
async fn list_features(_: Authenticated, links: Links, query: Query, uri: Uri) -> Result<Response, Error> {
    Ok(Collection::page(&FEATURE, &links, asked_path(&uri), &query, Vec::new())?.into_response())
}

/// Never there: there are no feature flags.
#[utoipa::path(
    get,
    path = "/v3/features/{id}",
    operation_id = "getFeature",
    tag = "Settings",
    params(("id" = String, Path, description = "The name", example = "multi-cluster-management")),
    responses((status = 200, description = "Not sent", body = Feature), ReadFailures),
)]
async fn get_feature(_: Authenticated, Path(id): Path<String>) -> Error {
    let message =
        format!("feature {} not found: this server has no feature flags; remove the resource", mask(&id));
    Error::new(StatusCode::NOT_FOUND, "NotFound", message)
}

/// Always empty: there is no RKE.
#[utoipa::path(
    get,
    path = "/v3/rkek8ssystemimages",
    operation_id = "listRkeK8sSystemImages",
    tag = "Settings",
    params(ListQuery),
    responses((status = 200, description = "One page of the list", body = RkeK8sSystemImageCollection), ReadFailures),
)]
async fn list_rke_system_images(
    _: Authenticated,
    links: Links,
    query: Query,
    uri: Uri,
) -> Result<Response, Error> {
    Ok(Collection::page(&RKE_SYSTEM_IMAGE, &links, asked_path(&uri), &query, Vec::new())?.into_response())
}
