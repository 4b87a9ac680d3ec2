//! Microsoft Entra: tokens for client secrets, and the two discovery documents.
//!
//! Codes, statuses, keys and the form of the messages (`AADSTS…: … Trace ID: …`) are Entra's; the sentences are our own. As
//! in Entra, some older errors have CR LF instead of spaces.

use http::StatusCode;
use serde::Serialize;
use time::macros::format_description;
use uuid::Uuid;

use crate::clouds::{Cloud, resolve};
use crate::declare::KUBERNETES_APP;
use crate::recordings::{Operation, Outcome};
use crate::request::AzureRequest;
use crate::response::SandboxResponse;
use crate::state::{App, Audience, SandboxState, State, Subscription, Token};

/// The validity of tokens in seconds.
const TOKEN_LIFETIME_S: i64 = 3_599;

pub(crate) fn operation(segments: &[String]) -> Operation {
    let path_segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match path_segments.as_slice() {
        [_, "oauth2", "v2.0", "token"] => Operation::Token,
        [_, "v2.0", ".well-known", "openid-configuration"] => Operation::OpenidConfiguration,
        ["common", "discovery", "instance"] => Operation::InstanceDiscovery,
        _ => Operation::Unknown,
    }
}

pub(crate) fn respond(sandbox: &SandboxState, request: &AzureRequest, body: &[u8]) -> SandboxResponse {
    let operation = operation(&request.segments);
    let expected_method = if operation == Operation::Token { http::Method::POST } else { http::Method::GET };
    if operation == Operation::Unknown || request.method != expected_method {
        let status = if operation == Operation::Unknown {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::METHOD_NOT_ALLOWED
        };
        return SandboxResponse::empty(status);
    }
    let result = match operation {
        Operation::Token => respond_to_token_request(sandbox, request, body),
        Operation::OpenidConfiguration => openid_configuration(sandbox, request),
        _ => instance_discovery(request),
    };
    result.unwrap_or_else(|error| error.into_response(sandbox, request))
}

/// Adds the headers that every response of Entra has.
pub(crate) fn with_common_headers(response: SandboxResponse) -> SandboxResponse {
    if response.simulates_proxy() {
        return response;
    }
    response
        .with("cache-control", "no-store, no-cache")
        .with("pragma", "no-cache")
        .with("expires", "-1")
        .with("strict-transport-security", "max-age=31536000; includeSubDomains")
        .with("x-content-type-options", "nosniff")
        .with("x-ms-request-id", &Uuid::new_v4().to_string())
}

/// An error, before trace ID and timestamp are added.
struct EntraError {
    status: StatusCode,
    error: &'static str,
    code: u32,
    message: String,
    /// Whether CR LF instead of a space precedes the trace ID, correlation ID and timestamp.
    has_crlf: bool,
    retry_after: Option<u32>,
}

impl EntraError {
    fn new(status: StatusCode, error: &'static str, code: u32, message: impl Into<String>) -> Self {
        Self { status, error, code, message: message.into(), has_crlf: false, retry_after: None }
    }

    fn invalid_request(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", code, message)
    }

    fn missing_parameter(parameter: &str) -> Self {
        Self::invalid_request(900_144, format!("The request body must contain the parameter '{parameter}'."))
    }

    fn into_response(self, sandbox: &SandboxState, request: &AzureRequest) -> SandboxResponse {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a str,
            error_description: String,
            error_codes: [u32; 1],
            timestamp: &'a str,
            trace_id: &'a str,
            correlation_id: &'a str,
            error_uri: String,
        }
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
        let timestamp = sandbox.clock.now().format(format).unwrap_or_default();
        let trace_id = Uuid::new_v4().to_string();
        let correlation_id = request
            .header("client-request-id")
            .or_else(|| request.header("x-ms-client-request-id"))
            .filter(|id| Uuid::try_parse(id).is_ok())
            .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
        let separator = if self.has_crlf { "\r\n" } else { " " };
        let body = Body {
            error: self.error,
            error_description: format!(
                "AADSTS{}: {}{separator}Trace ID: {trace_id}{separator}Correlation ID: {correlation_id}{separator}Timestamp: {timestamp}",
                self.code, self.message
            ),
            error_codes: [self.code],
            timestamp: &timestamp,
            trace_id: &trace_id,
            correlation_id: &correlation_id,
            error_uri: format!("https://{}/error?code={}", request.cloud.names().login, self.code),
        };
        let mut response = SandboxResponse::json(self.status, &body);
        if let Some(seconds) = self.retry_after {
            response.set("retry-after", &seconds.to_string());
        }
        response
    }
}

fn respond_to_token_request(
    sandbox: &SandboxState,
    request: &AzureRequest,
    body: &[u8],
) -> Result<SandboxResponse, EntraError> {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| {
        form.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    };
    let tenant = tenant_in_path(request)?;
    let grant = field("grant_type").ok_or_else(|| EntraError::missing_parameter("grant_type"))?;
    if grant != "client_credentials" {
        let message = format!("The sandbox does not support the grant type '{grant}'.");
        return Err(EntraError::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", 70_003, message));
    }
    let client_id = field("client_id").ok_or_else(|| EntraError::missing_parameter("client_id"))?;
    let scope = field("scope").ok_or_else(|| EntraError::missing_parameter("scope"))?;
    let secret = field("client_secret").ok_or_else(|| {
        let message = "The request body must contain 'client_assertion' or 'client_secret'.";
        EntraError::new(StatusCode::UNAUTHORIZED, "invalid_client", 7_000_218, message)
    })?;
    let mut state = sandbox.state();
    let scripted_login = state.logins.iter().find(|login| {
        login.secret == secret
            && login.client_id.as_deref().is_none_or(|id| id.eq_ignore_ascii_case(client_id))
    });
    match scripted_login.map(|login| &login.outcome) {
        Some(Outcome::Answer(page)) => return Ok(page.to_response(None)),
        Some(Outcome::Token) => {}
        None => {
            let exists = state.tenants.contains(&(request.cloud, tenant.clone()));
            exists.then_some(()).ok_or_else(|| unknown_tenant(&tenant, "invalid_request"))?;
            let app = state.apps.iter().find(|app| {
                app.cloud == request.cloud
                    && app.tenant == tenant
                    && app.client_id.eq_ignore_ascii_case(client_id)
            });
            authenticate_app(app, client_id, secret, &tenant)?;
        }
    }
    let audience = parse_audience(request.cloud, scope, &tenant)?;
    let expires_ms = sandbox.clock.now_ms() + TOKEN_LIFETIME_S * 1_000;
    let client_id = client_id.to_ascii_lowercase();
    Ok(issue_token(&mut state, Token { cloud: request.cloud, tenant, client_id, audience, expires_ms }))
}

/// The lower-case tenant in the path.
fn tenant_in_path(request: &AzureRequest) -> Result<String, EntraError> {
    let tenant = request.segments.first().map(|tenant| tenant.to_ascii_lowercase()).unwrap_or_default();
    if Uuid::try_parse(&tenant).is_ok() || tenant.contains('.') || tenant == "common" {
        return Ok(tenant);
    }
    Err(EntraError::invalid_request(
        900_023,
        format!("'{tenant}' is neither the id of a tenant nor a domain name."),
    ))
}

fn unknown_tenant(tenant: &str, error: &'static str) -> EntraError {
    let message =
        format!("Tenant '{tenant}' not found. Check that this is the right tenant and the right cloud.");
    EntraError::new(StatusCode::BAD_REQUEST, error, 90_002, message)
}

fn authenticate_app(
    app: Option<&App>,
    client_id: &str,
    secret: &str,
    tenant: &str,
) -> Result<(), EntraError> {
    let Some(app) = app else {
        let message = format!(
            "Application with identifier '{client_id}' was not found in the directory '{tenant}'. It may not be \
             installed there, or the request went to the wrong tenant."
        );
        let error = EntraError::new(StatusCode::BAD_REQUEST, "unauthorized_client", 700_016, message);
        return Err(EntraError { has_crlf: true, ..error });
    };
    if let Some(seconds) = app.retry_after {
        let message = "Too many requests; wait before the next one.";
        let error =
            EntraError::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", 90_055, message);
        return Err(EntraError { retry_after: Some(seconds), ..error });
    }
    if app.disabled {
        let message = format!("Application '{client_id}' ({}) is disabled.", app.name);
        return Err(EntraError::new(StatusCode::BAD_REQUEST, "unauthorized_client", 7_000_112, message));
    }
    if app.expired_secrets.iter().any(|expired| expired == secret) {
        let message = format!("The secrets of the application '{client_id}' have expired; create a new one.");
        let error = EntraError::new(StatusCode::UNAUTHORIZED, "invalid_client", 7_000_222, message);
        return Err(EntraError { has_crlf: true, ..error });
    }
    if app.secrets.iter().any(|accepted| accepted == secret) {
        return Ok(());
    }
    let message = format!(
        "Invalid client secret. Send the value of the secret and not its id, for a secret of the app '{client_id}'."
    );
    Err(EntraError::new(StatusCode::UNAUTHORIZED, "invalid_client", 7_000_215, message))
}

/// The audience in a scope of the form `<audience>/.default`; OpenID scopes are ignored.
fn parse_audience(cloud: Cloud, scope: &str, tenant: &str) -> Result<Audience, EntraError> {
    let mut resources =
        scope.split(' ').filter(|part| !["", "openid", "profile", "offline_access", "email"].contains(part));
    let (Some(resource), None) = (resources.next(), resources.next()) else {
        let message = format!("The scope '{scope}' must name exactly one resource.");
        return Err(EntraError::new(StatusCode::BAD_REQUEST, "invalid_scope", 70_011, message));
    };
    let Some(audience) = resource.strip_suffix("/.default") else {
        let message = format!("The scope '{scope}' is not valid here: it must end with '/.default'.");
        return Err(EntraError::new(StatusCode::BAD_REQUEST, "invalid_scope", 1_002_012, message));
    };
    let audience = audience.strip_suffix('/').unwrap_or(audience);
    if cloud.names().audiences.iter().any(|accepted| accepted.eq_ignore_ascii_case(audience)) {
        return Ok(Audience::Management);
    }
    if audience.eq_ignore_ascii_case(KUBERNETES_APP) {
        return Ok(Audience::Application(KUBERNETES_APP.to_owned()));
    }
    let message = format!("The resource '{audience}' was not found in the tenant '{tenant}'.");
    Err(EntraError::new(StatusCode::BAD_REQUEST, "invalid_resource", 500_011, message))
}

fn issue_token(state: &mut State, token: Token) -> SandboxResponse {
    #[derive(Serialize)]
    struct Body<'a> {
        token_type: &'a str,
        expires_in: i64,
        ext_expires_in: i64,
        access_token: &'a str,
    }
    let access_token = format!("sandbox.{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let response = SandboxResponse::json(
        StatusCode::OK,
        &Body {
            token_type: "Bearer",
            expires_in: TOKEN_LIFETIME_S,
            ext_expires_in: TOKEN_LIFETIME_S,
            access_token: &access_token,
        },
    );
    state.tokens.insert(access_token, token);
    response
}

fn openid_configuration(
    sandbox: &SandboxState,
    request: &AzureRequest,
) -> Result<SandboxResponse, EntraError> {
    let tenant = tenant_in_path(request)?;
    let exists = tenant == "common" || {
        let state = sandbox.state();
        let matches = |subscription: &Subscription| {
            subscription.tenant == tenant && subscription.cloud.is_none_or(|cloud| cloud == request.cloud)
        };
        state.tenants.contains(&(request.cloud, tenant.clone())) || state.subscriptions.values().any(matches)
    };
    exists.then_some(()).ok_or_else(|| unknown_tenant(&tenant, "invalid_tenant"))?;
    let host = request.cloud.names().login;
    let base = format!("https://{host}/{tenant}");
    let issuer = if tenant == "common" { "{tenantid}" } else { &tenant };
    let graph = request.cloud.names().graph;
    Ok(SandboxResponse::json(
        StatusCode::OK,
        &serde_json::json!({
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "jwks_uri": format!("{base}/discovery/v2.0/keys"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": format!("https://{host}/{issuer}/v2.0"),
            "userinfo_endpoint": format!("https://{graph}/oidc/userinfo"),
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
            "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
            "cloud_instance_name": request.cloud.names().instance,
            "msgraph_host": graph,
        }),
    ))
}

fn instance_discovery(request: &AzureRequest) -> Result<SandboxResponse, EntraError> {
    let endpoint = request.parameter("authorization_endpoint").ok_or_else(|| {
        EntraError::invalid_request(900_144, "The query must contain 'authorization_endpoint'.")
    })?;
    let url = url::Url::parse(&endpoint).ok();
    let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    if resolve(host).is_none() {
        let message = format!("Unknown or invalid instance '{host}'.");
        return Err(EntraError::invalid_request(50_049, message));
    }
    let tenant = url.as_ref().and_then(|url| url.path_segments()?.next()).unwrap_or("common");
    let network = |name: &str, aliases: &[&str]| serde_json::json!({"preferred_network": name, "preferred_cache": aliases.get(1).unwrap_or(&name), "aliases": aliases});
    Ok(SandboxResponse::json(
        StatusCode::OK,
        &serde_json::json!({
            "tenant_discovery_endpoint": format!("https://{host}/{tenant}/v2.0/.well-known/openid-configuration"),
            "api-version": "1.1",
            "metadata": [
                network("login.microsoftonline.com", &["login.microsoftonline.com", "login.windows.net"]),
                network("login.partner.microsoftonline.cn", &["login.chinacloudapi.cn", "login.partner.microsoftonline.cn"]),
                network("login.microsoftonline.us", &["login.microsoftonline.us"]),
            ],
        }),
    ))
}
