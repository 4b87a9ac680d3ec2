//! Recorded responses of a subscription, and scripted results of logins.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::response::SandboxResponse;

/// The operations of the sandbox, by the names in tests and recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// `POST /{tenant}/oauth2/v2.0/token`
    Token,
    /// `GET /{tenant}/v2.0/.well-known/openid-configuration`
    OpenidConfiguration,
    /// `GET /common/discovery/instance`
    InstanceDiscovery,
    /// `GET /subscriptions/{id}`, with or without a token
    Subscription,
    /// `GET …/locations`
    Locations,
    /// `GET …/Microsoft.Compute/locations/{region}/vmSizes`
    VmSizes,
    /// `GET …/Microsoft.Compute/skus`
    Skus,
    /// `GET …/Microsoft.ContainerService/locations/{region}/kubernetesVersions`
    KubernetesVersions,
    /// `GET …/Microsoft.Network/virtualNetworks`
    VirtualNetworks,
    /// `GET …/Microsoft.ContainerService/managedClusters`
    ManagedClusters,
    /// `…/Microsoft.ContainerService/managedClusters/{name}`, any method
    ManagedCluster,
    /// Anything inside a cluster
    Kubernetes,
    /// `GET …/managedClusters/{name}/agentPools`
    AgentPools,
    /// `…/managedClusters/{name}/agentPools/{pool}`, any method
    AgentPool,
    /// `POST …/managedClusters/{name}/listClusterAdminCredential` and `…/accessProfiles/clusterAdmin/listCredential`
    AdminCredential,
    /// `POST …/managedClusters/{name}/listClusterUserCredential` and `…/accessProfiles/clusterUser/listCredential`
    UserCredential,
    /// `POST …/managedClusters/{name}/start`, `…/stop` and `…/abort`
    ClusterAction,
    /// `POST …/managedClusters/{name}/runCommand`
    RunCommand,
    /// `GET …/managedClusters/{name}/commandResults/{id}`
    CommandResult,
    /// `GET …/upgradeProfiles/default`, of clusters and pools
    UpgradeProfile,
    /// `GET …/Microsoft.Authorization/permissions`
    Permissions,
    /// `GET …/Microsoft.Authorization/policyAssignments`
    PolicyAssignments,
    /// `GET …/Microsoft.Authorization/policyDefinitions/{name}`, built-in ones and those of a subscription
    PolicyDefinition,
    /// `GET …/Microsoft.Authorization/policySetDefinitions/{name}` of a subscription
    PolicySetDefinition,
    /// `GET …/resourceGroups`
    ResourceGroups,
    /// `…/resourceGroups/{group}`, any method
    ResourceGroup,
    /// `…/Microsoft.Network/virtualNetworks/{name}`, any method
    VirtualNetwork,
    /// `GET …/virtualNetworks/{name}/subnets`
    Subnets,
    /// `…/virtualNetworks/{name}/subnets/{subnet}`, any method
    Subnet,
    /// `GET …/Microsoft.OperationalInsights/workspaces`
    Workspaces,
    /// `…/Microsoft.OperationalInsights/workspaces/{name}`, any method
    Workspace,
    /// `GET …/providers/{namespace}`
    Provider,
    /// `POST …/providers/{namespace}/register`
    RegisterProvider,
    /// `GET …/Microsoft.Compute/locations/{region}/usages`
    Usages,
    /// `GET …/locations/{region}/operations/{id}`, the URL in `Azure-AsyncOperation`
    LongOperation,
    /// `GET …/operationresults/{id}`, the URL in `Location`
    OperationResult,
    /// Anything else
    #[default]
    Unknown,
}

impl Operation {
    pub(crate) fn is_login(self) -> bool {
        matches!(self, Self::Token | Self::OpenidConfiguration | Self::InstanceDiscovery)
    }

    pub(crate) fn is_resource_manager(self) -> bool {
        !self.is_login() && !matches!(self, Self::Kubernetes | Self::Unknown)
    }
}

/// A recorded response. Its body is sent unchanged, except for `nextLink`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The status; 200 by default.
    #[serde(default = "default_status")]
    pub status: u16,
    /// Headers; `Content-Type` defaults to JSON.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON; a string is sent without quotes.
    pub body: Box<RawValue>,
    /// The delay in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
}

/// The scripted result of logins with a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The application; any if unset.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The secret.
    pub secret: String,
    /// The result.
    pub outcome: Outcome,
}

/// The result of a login.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A token for the requested tenant and cloud.
    Token,
    /// This response.
    Answer(Page),
}

fn default_status() -> u16 {
    200
}

impl Page {
    /// A page with a status and a body, whose keys keep their order.
    ///
    /// # Errors
    /// If `body` cannot be serialized.
    pub fn new(status: u16, body: &impl Serialize) -> Result<Self, serde_json::Error> {
        let body = serde_json::value::to_raw_value(body)?;
        Ok(Self { status, headers: BTreeMap::new(), body, delay_ms: 0 })
    }

    /// The body on the wire.
    pub(crate) fn text(&self) -> String {
        serde_json::from_str::<String>(self.body.get()).unwrap_or_else(|_| self.body.get().to_owned())
    }

    /// The response; `next_link` replaces the `nextLink` of an object, and is ignored for other bodies.
    pub(crate) fn to_response(&self, next_link: Option<&str>) -> SandboxResponse {
        let body = with_next_link(self.body.get(), next_link).unwrap_or_else(|| self.text());
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = SandboxResponse::new(status, body);
        for (name, value) in &self.headers {
            response.set(name, value);
        }
        response.delay = std::time::Duration::from_millis(self.delay_ms);
        response
    }
}

/// The entries of an object in their order, with unparsed values.
struct OrderedObject(Vec<(String, Box<RawValue>)>);

/// The object `text` with `link` as its `nextLink`, or without one; `None` if nothing changes, or `text` is not an object.
pub(crate) fn with_next_link(text: &str, link: Option<&str>) -> Option<String> {
    let mut entries: OrderedObject = serde_json::from_str(text).ok()?;
    let entry_count = entries.0.len();
    entries.0.retain(|(key, _)| key != "nextLink");
    match link {
        Some(link) => entries.0.push(("nextLink".to_owned(), serde_json::value::to_raw_value(link).ok()?)),
        None if entries.0.len() == entry_count => return None,
        None => {}
    }
    serde_json::to_string(&entries).ok()
}

impl Serialize for OrderedObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for OrderedObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> serde::de::Visitor<'de> for ObjectVisitor {
            type Value = OrderedObject;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<OrderedObject, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(OrderedObject(entries))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(page: &str, link: Option<&str>) -> String {
        let page: Page = serde_json::from_str(page).unwrap();
        String::from_utf8(page.to_response(link).body.to_vec()).unwrap()
    }

    #[test]
    fn only_the_next_link_of_a_recording_is_rewritten() {
        for (page, link, expected) in [
            (r#"{"body": {"z": 1,  "a": null}}"#, None, r#"{"z": 1,  "a": null}"#),
            (r#"{"body": "plain \"text\""}"#, None, "plain \"text\""),
            (r#"{"body": "plain"}"#, Some("https://x/"), "plain"),
            (r#"{"body": [1, 2]}"#, Some("https://x/"), "[1, 2]"),
            (r#"{"body": {"value":[],"nextLink":"old"}}"#, None, r#"{"value":[]}"#),
            (
                r#"{"body": {"nextLink":"old","value":[1]}}"#,
                Some("https://x/"),
                r#"{"value":[1],"nextLink":"https://x/"}"#,
            ),
        ] {
            assert_eq!(body_of(page, link), expected, "{page}");
        }
    }

    #[test]
    fn page_status_and_content_type_are_used() {
        let page = r#"{"body": "oops", "status": 400, "headers": {"Content-Type": "text/plain"}}"#;
        let response = serde_json::from_str::<Page>(page).unwrap().to_response(None);
        assert_eq!(response.status, 400);
        assert_eq!(response.headers["content-type"], "text/plain");
        assert!(serde_json::from_str::<Page>(r#"{"body": 1, "stauts": 4}"#).is_err(), "a misspelled key");
    }
}
