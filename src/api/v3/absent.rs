//! Types without objects, for clients that request them. The Terraform provider (releases 2.3 to 7) requests
//! `rkeK8sSystemImage` at startup. If it could not set a `feature`, the 404 makes it remove the feature from its state.

use aks::mask::mask;
use http::StatusCode;

use super::schemas::{FEATURE, RKE_SYSTEM_IMAGE};
use super::types::{Call, IdParameter, Operation, V3Type};
use crate::api::norman::error::Error;
use crate::api::norman::input::Object;
use crate::api::norman::schemas::Schema;

/// Feature flags of Rancher.
pub(super) struct Features;

impl V3Type for Features {
    const SCHEMA: &'static Schema = &FEATURE;
    const TAG: &'static str = "Settings";
    const ID: IdParameter = IdParameter { description: "The name", example: "multi-cluster-management" };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("Always empty: there are no feature flags."),
        Operation::get("Always 404: there are no feature flags.", "Not sent"),
    ];

    async fn list(_: &Call) -> Result<Vec<Object>, Error> {
        Ok(Vec::new())
    }

    async fn get(_: &Call, id: &str) -> Result<Object, Error> {
        let message =
            format!("feature {} not found: this server has no feature flags; remove the resource", mask(id));
        Err(Error::new(StatusCode::NOT_FOUND, "NotFound", message))
    }
}

/// The images of the Kubernetes versions of RKE.
pub(super) struct RkeK8sSystemImages;

impl V3Type for RkeK8sSystemImages {
    const SCHEMA: &'static Schema = &RKE_SYSTEM_IMAGE;
    const TAG: &'static str = "Settings";
    const ID: IdParameter = IdParameter { description: "The version", example: "v1.32.7-rancher1-1" };
    const OPERATIONS: &'static [Operation] = &[Operation::list("Always empty: RKE is not supported.")];

    async fn list(_: &Call) -> Result<Vec<Object>, Error> {
        Ok(Vec::new())
    }

    async fn get(_: &Call, id: &str) -> Result<Object, Error> {
        Err(Error::not_found(id))
    }
}
