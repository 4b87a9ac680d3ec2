//! `/v3/settings` (`docs/contract/settings.md#settings`, `docs/contract/terraform.md#start`).

use serde_json::json;

use super::schemas::SETTING;
use super::types::{Call, IdParameter, Operation, V3Type};
use crate::api::norman::error::Error;
use crate::api::norman::input::{self, InputFor, Object};
use crate::api::norman::links::Links;
use crate::api::norman::resource::{Resource, Rights, fields};
use crate::api::norman::schemas::Schema;
use crate::api::state::AppState;
use crate::service::settings::{Setting, Source};

/// The only setting that needs no token: the authorities that sign the server's certificate.
const PUBLIC_SETTING: &str = "cacerts";

/// The named settings.
pub(super) struct Settings;

impl V3Type for Settings {
    const SCHEMA: &'static Schema = &SETTING;
    const TAG: &'static str = "Settings";
    const ID: IdParameter = IdParameter { description: "The name", example: "server-url" };
    const OPERATIONS: &'static [Operation] = &[
        Operation::list("All settings."),
        Operation::get(
            "One setting. `cacerts` requires no token: clients need it before they can trust the server.",
            "The setting",
        ),
        Operation::update(
            "Changes a setting; for administrators. Every server that uses the database applies it within two seconds.",
            "The changed setting",
        ),
        Operation::post("Changes a setting, for clients that can only POST."),
    ];

    async fn list(call: &Call) -> Result<Vec<Object>, Error> {
        let settings = call.state.settings.list().await?;
        Ok(settings.into_iter().map(|setting| view(setting, call.caller().admin, &call.links)).collect())
    }

    async fn get(call: &Call, id: &str) -> Result<Object, Error> {
        let setting = call.state.settings.get(id).await?;
        Ok(view(setting, call.caller().admin, &call.links))
    }

    async fn get_public(state: &AppState, links: &Links, id: &str) -> Result<Option<Object>, Error> {
        if id != PUBLIC_SETTING {
            return Ok(None);
        }
        Ok(Some(view(state.settings.get(id).await?, false, links)))
    }

    async fn update(call: &Call, id: &str, body: Object) -> Result<Object, Error> {
        let mut input = input::convert(&SETTING, body, InputFor::Update)?;
        let settings = &call.state.settings;
        let setting = match input.remove("value") {
            None => settings.get(id).await?,
            Some(value) => settings.change(&call.actor, id, value.as_str().unwrap_or_default()).await?,
        };
        Ok(view(setting, call.caller().admin, &call.links))
    }
}

fn view(setting: Setting, is_administrator: bool, links: &Links) -> Object {
    let source = match setting.source {
        Source::Default => "default",
        Source::Database => "db",
        // Rancher's name for a setting that its API cannot change.
        Source::Start => "env",
    };
    let fields = fields([
        ("customized", json!(setting.customized)),
        ("default", json!(setting.default)),
        ("name", json!(setting.name)),
        ("readOnly", json!(setting.read_only)),
        ("source", json!(source)),
        ("value", json!(setting.value)),
    ]);
    let rights = Rights { update: is_administrator && !setting.read_only, remove: false };
    Resource::new(&SETTING, setting.name, rights).to_object(links, fields)
}
