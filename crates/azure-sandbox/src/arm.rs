//! Azure Resource Manager: the checks of every request, in Azure's order, and the dispatch to the handlers.
//!
//! Codes, statuses, keys and the wording of short messages are Azure's; longer sentences are our own.

mod call;
mod clusters;
mod error;
mod groups;
mod listings;
mod networks;
mod operations;
mod pages;
mod permissions;
mod policies;
mod pools;
mod providers;
mod ranges;
pub(crate) mod route;
mod route_properties;
mod throttling;
mod usages;
mod workspaces;

use http::{Method, StatusCode};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use call::Call;
use error::ArmError;
use route::{Route, Target, built_in_policy, parse};

use crate::budget::RateLimitHeaders;
use crate::request::AzureRequest;
use crate::response::SandboxResponse;
use crate::roles::{Role, RoleAssignment};
use crate::state::{Audience, SandboxState, State, Subscription, Token};

pub(crate) fn respond(sandbox: &SandboxState, request: &AzureRequest, body: &[u8]) -> SandboxResponse {
    let mut rate_limit_headers = RateLimitHeaders::default();
    let response = authenticate_and_dispatch(sandbox, request, body, &mut rate_limit_headers);
    rate_limit_headers.add_to(response.unwrap_or_else(|error| error.to_response()))
}

/// Adds the headers that every response of Resource Manager has.
pub(crate) fn with_common_headers(
    sandbox: &SandboxState,
    request: &AzureRequest,
    mut response: SandboxResponse,
) -> SandboxResponse {
    if response.simulates_proxy() {
        return response;
    }
    let id = Uuid::new_v4().to_string();
    if let Some(client_request_id) = request.header("x-ms-client-request-id") {
        response.set("x-ms-client-request-id", client_request_id);
    }
    let correlation_id = request.header("x-ms-correlation-request-id").unwrap_or(&id).to_owned();
    let now = sandbox.clock.now().format(&Rfc3339).unwrap_or_default();
    response
        .with("x-ms-request-id", &id)
        .with("x-ms-correlation-request-id", &correlation_id)
        .with("x-ms-routing-request-id", &format!("SANDBOX:{now}:{id}"))
        .with("cache-control", "no-cache")
        .with("pragma", "no-cache")
        .with("expires", "-1")
        .with("strict-transport-security", "max-age=31536000; includeSubDomains")
        .with("x-content-type-options", "nosniff")
}

fn authenticate_and_dispatch(
    sandbox: &SandboxState,
    request: &AzureRequest,
    body: &[u8],
    rate_limit_headers: &mut RateLimitHeaders,
) -> Result<SandboxResponse, ArmError> {
    let api_version =
        request.parameter("api-version").filter(|api_version| !api_version.is_empty()).ok_or_else(|| {
            let text = "Every request needs the query parameter 'api-version' (?api-version=).";
            ArmError::new(StatusCode::BAD_REQUEST, "MissingApiVersionParameter", text)
        })?;
    if let Some(name) = built_in_policy(&request.segments) {
        return policies::get_built_in(sandbox, request, &api_version, name);
    }
    let target = parse(&request.segments).ok_or_else(|| {
        let text = format!("The sandbox does not support the path '{}'.", request.path);
        ArmError::new(StatusCode::NOT_FOUND, "InvalidResourceType", text)
    })?;
    if Uuid::try_parse(&target.subscription).is_err() {
        let text = format!("The subscription id '{}' is malformed or invalid.", target.subscription);
        return Err(ArmError::new(StatusCode::BAD_REQUEST, "InvalidSubscriptionId", text));
    }
    let mut state = sandbox.state();
    sandbox.advance(&mut state);
    let subscription = find_subscription(&state, request, &target)?;
    let token = authenticate(sandbox, &state, request, subscription)?;
    if let Some(seconds) = subscription.retry_after {
        return Err(throttling::too_many_requests(&subscription.id, seconds.into()));
    }
    throttling::count_request(sandbox, &mut state, request, &target, &token, rate_limit_headers)?;
    let subscription = find_subscription(&state, request, &target)?;
    if let Some(pages) = subscription.recordings.get(&target.route.operation()) {
        return pages::recorded_page(pages, request);
    }
    check_api_version(sandbox, &target, &api_version)?;
    authorize(subscription, request, &target, &token)?;
    check_provider(subscription, &target)?;
    if !target.route.supports(&request.method) {
        let text = format!(
            "The sandbox does not support '{}' on '{}'.",
            request.method,
            target.route.resource_type()
        );
        return Err(ArmError::new(StatusCode::METHOD_NOT_ALLOWED, "HttpMethodNotSupported", text));
    }
    if listings::handles(&target.route) {
        let info = listings::SubscriptionInfo::new(subscription, state.page_size);
        // Release the lock before long lists are serialized.
        drop(state);
        return listings::respond(sandbox, request, &target, &api_version, &info);
    }
    let response =
        respond_locked(sandbox, &mut state, request, &target, &api_version, &token.client_id, body)?;
    if request.is_write() && response.status.is_success() {
        sandbox.save(&state);
    }
    Ok(response)
}

/// Responds to a request that reads or changes resources of the subscription. The caller holds the lock of `state`.
fn respond_locked(
    sandbox: &SandboxState,
    state: &mut State,
    request: &AzureRequest,
    target: &Target,
    api_version: &str,
    client_id: &str,
    body: &[u8],
) -> Result<SandboxResponse, ArmError> {
    let now_ms = sandbox.clock.now_ms();
    let State { subscriptions, timing, outcomes, apps, page_size, .. } = state;
    let Some(subscription) = subscriptions.get_mut(&target.subscription.to_ascii_lowercase()) else {
        return Err(ArmError::new(StatusCode::NOT_FOUND, "SubscriptionNotFound", "It is gone."));
    };
    let full_access: Vec<RoleAssignment> = Role::Contributor.assign(None).into_iter().collect();
    let roles = match &subscription.roles {
        Some(roles) => roles.get(client_id).map(Vec::as_slice).unwrap_or_default(),
        None => &full_access,
    };
    let mut call = Call {
        sandbox,
        request,
        target,
        api_version,
        client_id,
        roles,
        body,
        now_ms,
        subscription: &subscription.id,
        tenant: &subscription.tenant,
        required_tag: subscription.required_tag.as_deref(),
        page_size: page_size.unwrap_or(usize::MAX),
        timing,
        outcomes,
        apps,
        resources: &mut subscription.resources,
    };
    check_group(&call)?;
    let response = dispatch(&mut call)?;
    call.resources.touched |= request.is_write();
    Ok(response)
}

fn dispatch(call: &mut Call<'_>) -> Result<SandboxResponse, ArmError> {
    match &call.target.route {
        Route::Provider { namespace } => providers::get(call, namespace),
        Route::RegisterProvider { namespace } => providers::register(call, namespace),
        Route::Permissions => Ok(permissions::list(call)),
        Route::PolicyAssignments => policies::list_assignments(call),
        Route::PolicyDefinition { name } => Err(policies::definition_not_found(name)),
        Route::PolicySetDefinition { name } => Err(policies::initiative_not_found(name)),
        Route::ResourceGroups => groups::list(call),
        Route::ResourceGroup => groups::handle_group(call),
        Route::Usages { location } => usages::list(call, location),
        Route::VirtualNetworks => networks::list(call),
        Route::VirtualNetwork { name } => networks::handle_network(call, name),
        Route::Subnets { network } => networks::list_subnets(call, network),
        Route::Subnet { network, name } => networks::handle_subnet(call, network, name),
        Route::Workspaces => workspaces::list(call),
        Route::Workspace { name } => workspaces::handle_workspace(call, name),
        Route::ManagedClusters => clusters::list(call),
        Route::ManagedCluster { name } => clusters::handle_cluster(call, name),
        Route::ClusterAction { name, action } => clusters::handle_action(call, name, *action),
        Route::CommandResult { cluster, id } => clusters::command_result(call, cluster, id),
        Route::UpgradeProfile { name } => clusters::upgrade_profile(call, name),
        Route::AgentPools { cluster } => pools::list(call, cluster),
        Route::AgentPool { cluster, name } => pools::handle_pool(call, cluster, name),
        Route::PoolUpgradeProfile { cluster, name } => pools::upgrade_profile(call, cluster, name),
        Route::OperationStatus { id, .. } => operations::status(call, id),
        Route::OperationResult { provider, id } => operations::result(call, *provider, id),
        // Not reached: `listings` responds to the first five, and `check_api_version` rejects unknown types.
        Route::Subscription
        | Route::Locations
        | Route::VmSizes { .. }
        | Route::Skus
        | Route::KubernetesVersions { .. }
        | Route::Unknown { .. } => {
            let text = format!("The sandbox does not support '{}'.", call.target.route.resource_type());
            Err(ArmError::new(StatusCode::NOT_FOUND, "InvalidResourceType", text))
        }
    }
}

/// Checks that the resource group in the URL exists and, for a PUT, PATCH or POST, that it is not being deleted.
fn check_group(call: &Call<'_>) -> Result<(), ArmError> {
    let Some(name) = call.target.group.as_deref().filter(|_| call.target.route != Route::ResourceGroup)
    else {
        return Ok(());
    };
    let group = call.resources.group(name).ok_or_else(|| ArmError::group_not_found(name))?;
    if group.deleting && call.request.is_write() && call.request.method != Method::DELETE {
        return Err(groups::deleting_error(group));
    }
    Ok(())
}

fn find_subscription<'a>(
    state: &'a State,
    request: &AzureRequest,
    target: &Target,
) -> Result<&'a Subscription, ArmError> {
    let id = target.subscription.to_ascii_lowercase();
    let is_in_cloud =
        |subscription: &&Subscription| subscription.cloud.is_none_or(|cloud| cloud == request.cloud);
    state.subscriptions.get(&id).filter(is_in_cloud).ok_or_else(|| {
        let text = format!("The subscription '{}' could not be found.", target.subscription);
        ArmError::new(StatusCode::NOT_FOUND, "SubscriptionNotFound", text)
    })
}

/// Returns the token of the request if it is valid for this subscription in this cloud.
fn authenticate(
    sandbox: &SandboxState,
    state: &State,
    request: &AzureRequest,
    subscription: &Subscription,
) -> Result<Token, ArmError> {
    let unauthorized = |code, text: &str, description: &str| {
        let authority = format!("https://{}/{}", request.cloud.names().challenge, subscription.tenant);
        let challenge = format!(
            "Bearer authorization_uri=\"{authority}\", error=\"invalid_token\", error_description=\"{description}\""
        );
        ArmError::new(StatusCode::UNAUTHORIZED, code, text).with_header("www-authenticate", challenge)
    };
    let Some(header) = request.header("authorization") else {
        return Err(unauthorized(
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
            "The authentication failed because of missing 'Authorization' header.",
        ));
    };
    let bearer = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = bearer.and_then(|(_, value)| state.tokens.get(value.trim()));
    let Some(token) = token.filter(|token| token.cloud == request.cloud) else {
        let text = "The access token is invalid.";
        return Err(unauthorized("InvalidAuthenticationToken", text, text));
    };
    if let Audience::Application(audience) = &token.audience {
        let allowed = request.cloud.names().audiences.map(|name| format!("'{name}/'")).join(",");
        let text = format!(
            "The access token is for the audience '{audience}'. It must be for one of the allowed audiences {allowed}."
        );
        return Err(unauthorized("InvalidAuthenticationTokenAudience", &text, &text));
    }
    let expired_for_ms = sandbox.clock.now_ms() - token.expires_ms;
    if expired_for_ms >= 0 {
        let now = sandbox.clock.now();
        let expiry = now - time::Duration::milliseconds(expired_for_ms);
        let text = format!(
            "The access token expiry UTC time '{}' is earlier than current UTC time '{}'.",
            format_us(expiry),
            format_us(now)
        );
        return Err(unauthorized("ExpiredAuthenticationToken", &text, "The access token has expired."));
    }
    if token.tenant != subscription.tenant {
        let issuer = request.cloud.names().issuer;
        let text = format!(
            "The access token is from the wrong issuer 'https://{issuer}/{}/'. It must match the tenant \
             'https://{issuer}/{}/' of this subscription.",
            token.tenant, subscription.tenant
        );
        return Err(unauthorized("InvalidAuthenticationTokenTenant", &text, &text));
    }
    Ok(token.clone())
}

/// Formats a time as in Azure's messages, such as `11/23/2026 6:53:45 PM`.
fn format_us(time: time::OffsetDateTime) -> String {
    let format = time::macros::format_description!(
        "[month padding:none]/[day padding:none]/[year] [hour repr:12 padding:none]:[minute]:[second] [period]"
    );
    time.format(format).unwrap_or_default()
}

/// Checks that the resource type exists and has the api-version.
fn check_api_version(sandbox: &SandboxState, target: &Target, api_version: &str) -> Result<(), ArmError> {
    if let Route::Unknown { namespace, resource_type } = &target.route {
        let namespace = namespace.as_deref().unwrap_or("Microsoft.Resources");
        let text = format!(
            "The resource type '{resource_type}' could not be found in the namespace '{namespace}' for api version '{api_version}'."
        );
        return Err(ArmError::new(StatusCode::NOT_FOUND, "InvalidResourceType", text));
    }
    let resource_type = target.route.resource_type();
    let versions = sandbox.catalog.api_versions.get(&resource_type.to_ascii_lowercase());
    let versions = versions.map(Vec::as_slice).unwrap_or_default();
    if versions.iter().any(|candidate| candidate.eq_ignore_ascii_case(api_version)) {
        return Ok(());
    }
    let supported = versions.join(", ");
    Err(match target.route.provider() {
        None => {
            let text = format!(
                "The api-version '{api_version}' is invalid. The supported versions are '{supported}'."
            );
            ArmError::new(StatusCode::BAD_REQUEST, "InvalidApiVersionParameter", text)
        }
        Some(provider) => {
            let type_name =
                resource_type.strip_prefix(provider).unwrap_or(resource_type).trim_start_matches('/');
            let text = format!(
                "No registered resource provider found for API version '{api_version}' and type '{type_name}'. The \
                 supported api-versions are '{supported}'."
            );
            ArmError::new(StatusCode::BAD_REQUEST, "NoRegisteredProviderFound", text)
        }
    })
}

fn authorize(
    subscription: &Subscription,
    request: &AzureRequest,
    target: &Target,
    token: &Token,
) -> Result<(), ArmError> {
    let Some(roles) = &subscription.roles else { return Ok(()) };
    let roles = roles.get(&token.client_id).map(Vec::as_slice).unwrap_or_default();
    let action = target.route.required_action(&request.method);
    let is_allowed = match &target.route {
        // Azure shows a subscription to every caller with a role in any part of it. The URL of an operation is signed, so that
        // only its initiator knows it.
        Route::Subscription | Route::OperationStatus { .. } | Route::OperationResult { .. } => {
            !roles.is_empty()
        }
        _ => {
            let group = target.group.as_deref();
            roles.iter().any(|role| role.holds_in(group) && role.grants(&action))
        }
    };
    if is_allowed {
        return Ok(());
    }
    let text = format!(
        "The client '{}' with object id '{}' does not have authorization to perform action '{}' over scope \
         '{}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
        token.client_id,
        token.object_id(),
        action,
        target.scope(),
    );
    Err(ArmError::new(StatusCode::FORBIDDEN, "AuthorizationFailed", text))
}

/// Checks that the subscription can use the resource provider.
fn check_provider(subscription: &Subscription, target: &Target) -> Result<(), ArmError> {
    let Some(provider) = target.route.provider() else { return Ok(()) };
    if subscription.state == "Disabled" {
        let text =
            format!("The subscription '{}' is disabled and therefore marked as read only.", subscription.id);
        return Err(ArmError::new(StatusCode::FORBIDDEN, "ReadOnlyDisabledSubscription", text));
    }
    if subscription.resources.is_registered(provider) {
        Ok(())
    } else {
        Err(ArmError::not_registered(provider))
    }
}
