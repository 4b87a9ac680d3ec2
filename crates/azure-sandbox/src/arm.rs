//! Azure Resource Manager: what every request has to pass, in the order in which Azure looks, and who answers it.
//!
//! Codes, statuses, keys and the frame of the texts are Azure's; where it is prose, the words are our own.

mod call;
mod clusters;
mod groups;
mod kinds;
mod listings;
mod networks;
mod operations;
mod permissions;
mod pools;
mod providers;
mod refused;
mod route;
mod usages;
mod workspaces;

use http::{Method, StatusCode};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

pub(crate) use refused::error;
pub(crate) use route::parse;

use call::Call;
use refused::Refused;
use route::{Route, Target};

use super::answer::Answer;
use super::play::Operation;
use super::request::Asked;
use super::seed::Role;
use super::world::{Audience, State, Subscription, Token, World};

pub(crate) fn answer(world: &World, asked: &Asked, body: &[u8]) -> Answer {
    respond(world, asked, body).unwrap_or_else(|refused| refused.answer())
}

/// Adds the headers that every answer of Resource Manager has.
pub(crate) fn dressed(world: &World, asked: &Asked, mut answer: Answer) -> Answer {
    if answer.is_foreign() {
        return answer;
    }
    let id = Uuid::new_v4().to_string();
    if let Some(given) = asked.header("x-ms-client-request-id") {
        answer.set("x-ms-client-request-id", given);
    }
    let correlation = asked.header("x-ms-correlation-request-id").unwrap_or(&id).to_owned();
    let now = world.clock.now().format(&Rfc3339).unwrap_or_default();
    answer
        .with("x-ms-request-id", &id)
        .with("x-ms-correlation-request-id", &correlation)
        .with("x-ms-routing-request-id", &format!("SANDBOX:{now}:{id}"))
        .with("cache-control", "no-cache")
        .with("pragma", "no-cache")
        .with("expires", "-1")
        .with("strict-transport-security", "max-age=31536000; includeSubDomains")
        .with("x-content-type-options", "nosniff")
}

fn respond(world: &World, asked: &Asked, body: &[u8]) -> Result<Answer, Refused> {
    let version = asked.parameter("api-version").filter(|version| !version.is_empty()).ok_or_else(|| {
        let text = "Every request needs the query parameter 'api-version' (?api-version=).";
        Refused::new(StatusCode::BAD_REQUEST, "MissingApiVersionParameter", text)
    })?;
    let target = parse(&asked.segments).ok_or_else(|| {
        let text = format!("The sandbox knows nothing at '{}'.", asked.path);
        Refused::new(StatusCode::NOT_FOUND, "InvalidResourceType", text)
    })?;
    if Uuid::try_parse(&target.subscription).is_err() {
        let text = format!("The subscription id '{}' is malformed or invalid.", target.subscription);
        return Err(Refused::new(StatusCode::BAD_REQUEST, "InvalidSubscriptionId", text));
    }
    let mut state = world.state();
    world.settle(&mut state);
    let subscription = find(&state, asked, &target)?;
    let token = authenticate(world, &state, asked, subscription)?;
    if let Some(seconds) = subscription.retry_after {
        let text = format!(
            "Number of requests for subscription '{}' exceeded the limit. Try again after '{seconds}' seconds.",
            subscription.id
        );
        let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "SubscriptionRequestsThrottled", text);
        return Err(refused.with("retry-after", seconds.to_string()));
    }
    if let Some(pages) = subscription.played.get(&target.route.operation()) {
        return listings::played(pages, asked);
    }
    known(world, &target, &version)?;
    authorize(subscription, asked, &target, &token)?;
    provided(subscription, &target)?;
    if !target.route.has(&asked.method) {
        let text = format!("The sandbox does not support '{}' on '{}'.", asked.method, target.route.kind());
        return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "HttpMethodNotSupported", text));
    }
    if listings::is_fixed(&target.route) {
        let found = listings::Found::of(subscription, state.page_size);
        // Long lists are written without holding up everybody else.
        drop(state);
        return listings::answer(world, asked, &target, &version, &found);
    }
    let role = subscription.roles.as_ref().map(|roles| roles.get(&token.client_id).copied());
    let role = role.map_or(Role::Contributor, |role| role.unwrap_or(Role::None));
    let answer = held(world, &mut state, asked, &target, &version, role, body)?;
    if asked.is_write() && answer.status.is_success() {
        world.keep(&state);
    }
    Ok(answer)
}

/// What is looked up or changed while nobody else does.
fn held(
    world: &World,
    state: &mut State,
    asked: &Asked,
    target: &Target,
    version: &str,
    role: Role,
    body: &[u8],
) -> Result<Answer, Refused> {
    let now_ms = world.clock.now_ms();
    let State { subscriptions, times, endings, apps, page_size, .. } = state;
    let Some(subscription) = subscriptions.get_mut(&target.subscription.to_ascii_lowercase()) else {
        return Err(Refused::new(StatusCode::NOT_FOUND, "SubscriptionNotFound", "It is gone."));
    };
    let mut call = Call {
        world,
        asked,
        target,
        version,
        role,
        body,
        now_ms,
        subscription: &subscription.id,
        tenant: &subscription.tenant,
        required_tag: subscription.required_tag.as_deref(),
        page_size: page_size.unwrap_or(usize::MAX),
        times,
        endings,
        apps,
        holdings: &mut subscription.holdings,
    };
    in_group(&call)?;
    let answer = dispatch(&mut call)?;
    call.holdings.touched |= asked.is_write();
    Ok(answer)
}

fn dispatch(call: &mut Call<'_>) -> Result<Answer, Refused> {
    match &call.target.route {
        Route::Provider { namespace } => providers::get(call, namespace),
        Route::RegisterProvider { namespace } => providers::register(call, namespace),
        Route::Permissions => Ok(permissions::list(call)),
        Route::ResourceGroups => groups::list(call),
        Route::ResourceGroup => groups::one(call),
        Route::Usages { location } => usages::list(call, location),
        Route::VirtualNetworks => networks::list(call),
        Route::VirtualNetwork { name } => networks::one(call, name),
        Route::Subnets { network } => networks::subnets(call, network),
        Route::Subnet { network, name } => networks::subnet(call, network, name),
        Route::Workspaces => workspaces::list(call),
        Route::Workspace { name } => workspaces::one(call, name),
        Route::ManagedClusters => clusters::list(call),
        Route::ManagedCluster { name } => clusters::one(call, name),
        Route::ClusterAction { name, action } => clusters::action(call, name, *action),
        Route::UpgradeProfile { name } => clusters::upgrade_profile(call, name),
        Route::AgentPools { cluster } => pools::list(call, cluster),
        Route::AgentPool { cluster, name } => pools::one(call, cluster, name),
        Route::PoolUpgradeProfile { cluster, name } => pools::upgrade_profile(call, cluster, name),
        Route::LongOperation { id, .. } => operations::status(call, id),
        Route::OperationResult { provider, id } => operations::result(call, *provider, id),
        Route::Subscription
        | Route::Locations
        | Route::VmSizes { .. }
        | Route::Skus
        | Route::KubernetesVersions { .. }
        | Route::Unknown { .. } => {
            let text = format!("There is no '{}'.", call.target.route.kind());
            Err(Refused::new(StatusCode::NOT_FOUND, "InvalidResourceType", text))
        }
    }
}

/// What is in a group needs the group, and cannot be changed while it is being deleted.
fn in_group(call: &Call<'_>) -> Result<(), Refused> {
    let Some(name) = call.target.group.as_deref().filter(|_| call.target.route != Route::ResourceGroup)
    else {
        return Ok(());
    };
    let group = call.holdings.group(name).ok_or_else(|| Refused::no_group(name))?;
    if group.deleting && call.asked.is_write() && call.asked.method != Method::DELETE {
        let text = format!(
            "The resource group '{}' is in deprovisioning state and cannot perform this operation.",
            group.name
        );
        return Err(Refused::new(StatusCode::CONFLICT, "ResourceGroupBeingDeleted", text));
    }
    Ok(())
}

fn find<'a>(state: &'a State, asked: &Asked, target: &Target) -> Result<&'a Subscription, Refused> {
    let id = target.subscription.to_ascii_lowercase();
    let here = |subscription: &&Subscription| subscription.cloud.is_none_or(|cloud| cloud == asked.cloud);
    state.subscriptions.get(&id).filter(here).ok_or_else(|| {
        let text = format!("The subscription '{}' could not be found.", target.subscription);
        Refused::new(StatusCode::NOT_FOUND, "SubscriptionNotFound", text)
    })
}

/// The token, when it is good for this subscription in this cloud.
fn authenticate(
    world: &World,
    state: &State,
    asked: &Asked,
    subscription: &Subscription,
) -> Result<Token, Refused> {
    let refuse = |code, text: &str, why: &str| {
        let authority = format!("https://{}/{}", asked.cloud.challenge_host(), subscription.tenant);
        let challenge = format!(
            "Bearer authorization_uri=\"{authority}\", error=\"invalid_token\", error_description=\"{why}\""
        );
        Refused::new(StatusCode::UNAUTHORIZED, code, text).with("www-authenticate", challenge)
    };
    let Some(header) = asked.header("authorization") else {
        return Err(refuse(
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
            "The authentication failed because of missing 'Authorization' header.",
        ));
    };
    let bearer = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = bearer.and_then(|(_, text)| state.tokens.get(text.trim()));
    let Some(token) = token.filter(|token| token.cloud == asked.cloud) else {
        let text = "The access token is invalid.";
        return Err(refuse("InvalidAuthenticationToken", text, text));
    };
    if let Audience::Application(audience) = &token.audience {
        let allowed = asked.cloud.audiences().map(|audience| format!("'{audience}/'")).join(",");
        let text = format!(
            "The access token is for the audience '{audience}'. It must be for one of the allowed audiences {allowed}."
        );
        return Err(refuse("InvalidAuthenticationTokenAudience", &text, &text));
    }
    let now = world.clock.now();
    if token.expires_ms <= world.clock.now_ms() {
        let expiry = now - time::Duration::milliseconds(world.clock.now_ms() - token.expires_ms);
        let text = format!(
            "The access token expiry UTC time '{}' is earlier than current UTC time '{}'.",
            american(expiry),
            american(now)
        );
        return Err(refuse("ExpiredAuthenticationToken", &text, "The access token has expired."));
    }
    if token.tenant != subscription.tenant {
        let issuer = asked.cloud.issuer_host();
        let text = format!(
            "The access token is from the wrong issuer 'https://{issuer}/{}/'. It must match the tenant \
             'https://{issuer}/{}/' of this subscription.",
            token.tenant, subscription.tenant
        );
        return Err(refuse("InvalidAuthenticationTokenTenant", &text, &text));
    }
    Ok(token.clone())
}

/// `11/23/2026 6:53:45 PM`, as the gateway writes times in texts.
fn american(time: time::OffsetDateTime) -> String {
    let format = time::macros::format_description!(
        "[month padding:none]/[day padding:none]/[year] [hour repr:12 padding:none]:[minute]:[second] [period]"
    );
    time.format(format).unwrap_or_default()
}

/// Whether the type exists in that version of the interface.
fn known(world: &World, target: &Target, version: &str) -> Result<(), Refused> {
    if let Route::Unknown { namespace, kind } = &target.route {
        let namespace = namespace.as_deref().unwrap_or("Microsoft.Resources");
        let text = format!(
            "The resource type '{kind}' could not be found in the namespace '{namespace}' for api version '{version}'."
        );
        return Err(Refused::new(StatusCode::NOT_FOUND, "InvalidResourceType", text));
    }
    let kind = target.route.kind();
    let versions = world.catalog.api_versions.get(&kind.to_ascii_lowercase());
    let versions = versions.map(Vec::as_slice).unwrap_or_default();
    if versions.iter().any(|known| known.eq_ignore_ascii_case(version)) {
        return Ok(());
    }
    let supported = versions.join(", ");
    Err(match target.route.provider() {
        None => {
            let text =
                format!("The api-version '{version}' is invalid. The supported versions are '{supported}'.");
            Refused::new(StatusCode::BAD_REQUEST, "InvalidApiVersionParameter", text)
        }
        Some(provider) => {
            let short = kind.strip_prefix(provider).unwrap_or(kind).trim_start_matches('/');
            let text = format!(
                "No registered resource provider found for API version '{version}' and type '{short}'. The \
                 supported api-versions are '{supported}'."
            );
            Refused::new(StatusCode::BAD_REQUEST, "NoRegisteredProviderFound", text)
        }
    })
}

fn authorize(
    subscription: &Subscription,
    asked: &Asked,
    target: &Target,
    token: &Token,
) -> Result<(), Refused> {
    let Some(roles) = &subscription.roles else { return Ok(()) };
    match roles.get(&token.client_id) {
        Some(Role::Contributor) => return Ok(()),
        Some(Role::Reader) if !asked.is_write() => return Ok(()),
        Some(Role::Operator) if target.route.operation() != Operation::AdminCredential => return Ok(()),
        _ => {}
    }
    // In Azure the object id is another one; here it is made from the client's.
    let object =
        Uuid::try_parse(&token.client_id).map(|id| Uuid::from_u128(!id.as_u128())).unwrap_or_default();
    let text = format!(
        "The client '{}' with object id '{object}' does not have authorization to perform action '{}' over scope \
         '{}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
        token.client_id,
        target.route.action(&asked.method),
        target.scope(),
    );
    Err(Refused::new(StatusCode::FORBIDDEN, "AuthorizationFailed", text))
}

/// Whether the subscription lets the resource provider answer.
fn provided(subscription: &Subscription, target: &Target) -> Result<(), Refused> {
    let Some(provider) = target.route.provider() else { return Ok(()) };
    if subscription.state == "Disabled" {
        let text =
            format!("The subscription '{}' is disabled and therefore marked as read only.", subscription.id);
        return Err(Refused::new(StatusCode::FORBIDDEN, "ReadOnlyDisabledSubscription", text));
    }
    if subscription.holdings.is_registered(provider) {
        Ok(())
    } else {
        Err(Refused::not_registered(provider))
    }
}
