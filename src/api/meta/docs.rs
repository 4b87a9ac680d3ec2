//! The nine actions in the API document.

use serde::Serialize;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterIn, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{
    ArrayBuilder, Content, Ref, RefOr, Required, ResponseBuilder, ResponsesBuilder, Schema,
};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::api::norman::openapi::Components;
use crate::api::openapi::failures;

const JSON: &str = "application/json";

/// The documentation of a listing action.
pub(super) struct ActionDocs {
    pub(super) summary: &'static str,
    /// The description, without the sentence about the credential.
    pub(super) description: &'static str,
    pub(super) scope: Scope,
    pub(super) response: &'static str,
    /// Returns the schema of the response, and adds its components to the list.
    pub(super) schema: fn(&mut Components) -> RefOr<Schema>,
}

/// The scope of a listing, which determines its parameters.
#[derive(Clone, Copy)]
pub(super) enum Scope {
    Subscription,
    Region,
    /// A region, or all regions.
    OptionalRegion,
    Cluster,
}

/// The description of most responses.
pub(super) const LIST_DESCRIPTION: &str = "The list; may be empty";

/// A list of `T`.
pub(super) fn list_of<T: ToSchema>(components: &mut Components) -> RefOr<Schema> {
    ArrayBuilder::new().items(component::<T>(components)).into()
}

/// A list of strings.
pub(super) fn list_of_names(_: &mut Components) -> RefOr<Schema> {
    ArrayBuilder::new().items(String::schema()).into()
}

/// Adds the component `T`, and returns a reference to it.
pub(super) fn component<T: ToSchema>(components: &mut Components) -> RefOr<Schema> {
    components.push((T::name().into_owned(), T::schema()));
    T::schemas(components);
    Ref::from_schema_name(T::name()).into()
}

/// The path of an action.
pub(super) fn path(action: &str) -> String {
    format!("/meta/{action}")
}

/// The operations GET and POST of an action, with their components.
pub(super) fn paths(action: &str, docs: &ActionDocs) -> (Components, Paths) {
    let path = path(action);
    let (mut components, mut paths) = (Components::new(), Paths::new());
    let post = operation(action, docs, "post", "With the credential in the body.", &mut components);
    let body = match docs.scope {
        Scope::Subscription => component::<CredentialBody>(&mut components),
        _ => component::<CredentialAndRegion>(&mut components),
    };
    let body =
        RequestBodyBuilder::new().required(Some(Required::True)).content(JSON, Content::new(Some(body)));
    paths.add_path_operation(&path, vec![HttpMethod::Post], post.request_body(Some(body.build())));
    let get = operation(action, docs, "get", "With a stored credential.", &mut components);
    let get = parameters(docs.scope).into_iter().fold(get, OperationBuilder::parameter);
    paths.add_path_operation(&path, vec![HttpMethod::Get], get);
    (components, paths)
}

fn operation(
    action: &str,
    docs: &ActionDocs,
    method: &str,
    credential_note: &str,
    components: &mut Components,
) -> OperationBuilder {
    let description = [docs.description, credential_note].into_iter().filter(|text| !text.is_empty());
    let content = Content::new(Some((docs.schema)(components)));
    let response = ResponseBuilder::new().description(docs.response).content(JSON, content);
    let responses = failures::meta().into_iter();
    let responses = responses.chain([("200".to_owned(), response.build().into())]);
    // `getAksVmSizes` for `aksVMSizes`.
    let name = action.replacen("aks", "Aks", 1).replace("VM", "Vm");
    OperationBuilder::new()
        .tag("AKS actions")
        .summary(Some(docs.summary))
        .description(Some(description.collect::<Vec<_>>().join(" ")))
        .operation_id(Some(format!("{method}{name}")))
        .responses(ResponsesBuilder::new().responses_from_iter(responses))
}

fn parameters(scope: Scope) -> Vec<Parameter> {
    fn query<P: IntoParams>() -> Vec<Parameter> {
        P::into_params(|| Some(ParameterIn::Query))
    }
    match scope {
        Scope::Subscription => query::<StoredCredential>(),
        Scope::Region => [query::<StoredCredential>(), query::<Region>()].concat(),
        Scope::OptionalRegion => [query::<StoredCredential>(), query::<OptionalRegion>()].concat(),
        Scope::Cluster => [query::<StoredCredentialAndCluster>(), query::<OptionalRegion>()].concat(),
    }
}

/// The stored credential for the requests to Azure.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, which call.rs reads")]
struct StoredCredential {
    /// The ID of a stored cloud credential.
    #[param(example = "cattle-global-data:cc-q2w4x", required = true)]
    cloud_credential_id: Option<String>,
    /// A cluster that uses the credential. A caller who may update it may use the credential without owning it.
    cluster_id: Option<String>,
}

/// The stored credential for the requests to Azure, and the cluster.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query, which call.rs reads")]
struct StoredCredentialAndCluster {
    /// The ID of a stored cloud credential.
    #[param(example = "cattle-global-data:cc-q2w4x", required = true)]
    cloud_credential_id: Option<String>,
    /// The Rancher ID of the cluster. A caller who may update it may use its credential without owning it.
    #[param(example = "c-x7k9z", required = true)]
    cluster_id: Option<String>,
}

/// A required region.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which call.rs reads")]
struct Region {
    /// The region, in any spelling.
    #[param(example = "eastus", required = true)]
    region: Option<String>,
}

/// An optional region; all regions without it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query, which call.rs reads")]
struct OptionalRegion {
    /// The region, in any spelling; all regions without it.
    #[param(example = "eastus")]
    region: Option<String>,
}

/// An Azure credential in the body of a request.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "subscriptionId": "9d1f3c52-0d2b-4e6a-8c1e-000000000001",
    "clientId": "c0ffee00-0001-4000-8000-000000000001",
    "clientSecret": "Sandbox~first~secret~of~the~ready~app~0001",
}))]
pub(super) struct CredentialBody {
    /// The subscription.
    subscription_id: String,
    /// The application (client) ID of the service principal.
    client_id: String,
    /// The value of its secret.
    #[schema(format = "password")]
    client_secret: String,
    /// The directory (tenant) ID or one of its domains; if it is missing, it is discovered from the subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tenant_id: Option<String>,
    /// `AzurePublicCloud` (the default), `AzureChinaCloud` or `AzureUSGovernmentCloud`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    environment: Option<String>,
}

/// An Azure credential and a region in the body of a request.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CredentialAndRegion {
    #[serde(flatten)]
    credential: CredentialBody,
    /// The region, in any spelling.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "eastus")]
    region: Option<String>,
    /// The Rancher ID of a cluster; used by aksUpgrades only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "c-x7k9z")]
    cluster_id: Option<String>,
}
