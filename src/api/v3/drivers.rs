//! `/v3/nodedrivers` and `/v3/kontainerdrivers`, read by clients before they create a credential
//! (`docs/contract/terraform.md#cloud-credentials`) or offer clusters. The drivers are built in; only AKS can be disabled,
//! by the setting `kev2-operators`.

use aks::spec::rules::is_operator_active;
use serde_json::json;

use super::schemas::{KONTAINER_DRIVER, NODE_DRIVER};
use super::types::{Call, IdParameter, Operation, V3Type};
use crate::api::norman::error::Error;
use crate::api::norman::input::Object;
use crate::api::norman::resource::{Resource, Rights, fields};
use crate::api::norman::schemas::Schema;

/// The ID and the name of the node driver.
const AZURE: &str = "azure";

/// The ID and the name of the driver of AKS clusters.
const AKS_ID: &str = "azurekubernetesservice";
const AKS_NAME: &str = "azureKubernetesService";

/// The clouds for which credentials can be stored.
pub(super) struct NodeDrivers;

impl V3Type for NodeDrivers {
    const SCHEMA: &'static Schema = &NODE_DRIVER;
    const TAG: &'static str = "Settings";
    const ID: IdParameter = IdParameter { description: "The ID", example: AZURE };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("The clouds for which credentials can be stored."),
        Operation::get("One cloud.", "The driver"),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        let fields = fields([
            ("active", json!(true)),
            ("builtin", json!(true)),
            ("name", json!(AZURE)),
            ("state", json!("active")),
            ("transitioning", json!("no")),
        ]);
        Ok(vec![Resource::new(&NODE_DRIVER, AZURE, Rights::NONE).to_object(&call.links, fields)])
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        let driver = if id == AZURE { Self::list(call).await?.pop() } else { None };
        driver.ok_or_else(|| Error::not_found(id))
    }
}

/// The kinds of hosted cluster.
pub(super) struct KontainerDrivers;

impl V3Type for KontainerDrivers {
    const SCHEMA: &'static Schema = &KONTAINER_DRIVER;
    const TAG: &'static str = "Settings";
    const ID: IdParameter = IdParameter { description: "The ID, in any letter case", example: AKS_ID };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("The kinds of hosted cluster."),
        Operation::get("One kind of hosted cluster.", "The driver"),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        let active = is_operator_active(&call.state.settings.value("kev2-operators").await);
        let fields = fields([
            ("active", json!(active)),
            ("builtIn", json!(true)),
            ("name", json!(AKS_NAME)),
            ("state", json!(if active { "active" } else { "inactive" })),
            ("transitioning", json!("no")),
        ]);
        Ok(vec![Resource::new(&KONTAINER_DRIVER, AKS_ID, Rights::NONE).to_object(&call.links, fields)])
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        let driver = if id.eq_ignore_ascii_case(AKS_ID) { Self::list(call).await?.pop() } else { None };
        driver.ok_or_else(|| Error::not_found(id))
    }
}
