//! Azure Resource Manager: what every request has to pass, in the order in which Azure looks.
//!
//! Codes, statuses, keys and the frame of the texts are Azure's; where it is prose, the words are our own.

mod listings;
mod route;

use http::StatusCode;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

pub(super) use route::{Route, Target, parse};

use super::answer::Answer;
use super::request::Asked;
use super::world::{Audience, State, Subscription, Token, World};

/// An error in Resource Manager's envelope.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    Answer::json(status, &Envelope { error: Detail { code, target: None, message, details: None } })
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Detail<'a>,
}

#[derive(Serialize)]
struct Detail<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<[Box<Detail<'a>>; 1]>,
}

/// A request that does not get what it asked for.
struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// A header of the answer.
    header: Option<(&'static str, String)>,
    /// The resource provider that `details` names.
    target: Option<&'static str>,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None, target: None }
    }

    fn answer(&self) -> Answer {
        let (code, message) = (self.code, self.message.as_str());
        let details =
            self.target.map(|_| [Box::new(Detail { code, target: self.target, message, details: None })]);
        let error = Detail { code, target: None, message, details };
        let answer = Answer::json(self.status, &Envelope { error }).with("x-ms-failure-cause", "gateway");
        match &self.header {
            Some((name, value)) => answer.with(name, value),
            None => answer,
        }
    }
}

pub(super) fn answer(world: &World, asked: &Asked) -> Answer {
    respond(world, asked).unwrap_or_else(|refused| refused.answer())
}

/// Adds the headers that every answer of Resource Manager has.
pub(super) fn dressed(world: &World, asked: &Asked, mut answer: Answer) -> Answer {
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

fn respond(world: &World, asked: &Asked) -> Result<Answer, Refused> {
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
    let state = world.state();
    let subscription = find(&state, asked, &target)?;
    let token = authenticate(world, &state, asked, subscription)?;
    if let Some(seconds) = subscription.retry_after {
        let text = format!(
            "Number of requests for subscription '{}' exceeded the limit. Try again after '{seconds}' seconds.",
            subscription.id
        );
        let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "SubscriptionRequestsThrottled", text);
        return Err(Refused { header: Some(("retry-after", seconds.to_string())), ..refused });
    }
    if let Some(pages) = subscription.played.get(&target.route.operation()) {
        return listings::played(pages, asked);
    }
    known(world, &target, &version)?;
    authorize(subscription, &target, &token)?;
    provided(subscription, &target)?;
    if asked.method != http::Method::GET {
        let text = format!("The sandbox does not support '{}' on '{}'.", asked.method, target.route.kind());
        return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "HttpMethodNotSupported", text));
    }
    let found = listings::Found::of(subscription, state.page_size);
    // Long lists are written without holding up everybody else.
    drop(state);
    listings::answer(world, asked, &target, &version, &found)
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
        Refused {
            header: Some(("www-authenticate", challenge)),
            ..Refused::new(StatusCode::UNAUTHORIZED, code, text)
        }
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

fn authorize(subscription: &Subscription, target: &Target, token: &Token) -> Result<(), Refused> {
    if subscription.readers.as_ref().is_none_or(|readers| readers.contains(&token.client_id)) {
        return Ok(());
    }
    let mut scope = format!("/subscriptions/{}", target.subscription);
    if let Some(group) = &target.group {
        scope = format!("{scope}/resourceGroups/{group}");
    }
    // In Azure the object id is another one; here it is made from the client's.
    let object =
        Uuid::try_parse(&token.client_id).map(|id| Uuid::from_u128(!id.as_u128())).unwrap_or_default();
    let text = format!(
        "The client '{}' with object id '{object}' does not have authorization to perform action '{}' over scope \
         '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
        token.client_id,
        target.route.action(),
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
    if subscription.unregistered.iter().any(|missing| missing == provider) {
        let text = format!(
            "The subscription is not registered to use namespace '{provider}'. See \
             https://aka.ms/rps-not-found for how to register subscriptions."
        );
        let refused = Refused::new(StatusCode::CONFLICT, "MissingSubscriptionRegistration", text);
        return Err(Refused { target: Some(provider), ..refused });
    }
    Ok(())
}
