//! Parses the values of settings.

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use secrecy::SecretString;
use url::{Host, Url};

use super::Endpoint;
use super::error::SettingsError;

/// A value, and the name of the variable or the path of the file that contains it.
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: String,
}

/// The environment of the process.
pub(super) struct Environment<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    pub(super) file: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

impl Environment<'_> {
    /// The trimmed value of a variable. An empty variable is treated as unset, because manifests set all of them.
    pub(super) fn variable(&self, name: &str) -> Option<Value> {
        let text = (self.variable)(name)?;
        let text = text.trim();
        (!text.is_empty()).then(|| Value { text: text.to_owned(), origin: name.to_owned() })
    }

    pub(super) fn first_variable(&self, names: [&str; 2]) -> Option<Value> {
        names.into_iter().find_map(|name| self.variable(name))
    }

    /// The trimmed content of a file, or the variable if the file is missing or empty.
    pub(super) fn file_or_variable(
        &self,
        path: &'static str,
        name: &str,
    ) -> Result<Option<Value>, SettingsError> {
        let Some(content) = (self.file)(path) else { return Ok(self.variable(name)) };
        let text = std::str::from_utf8(&content).map_err(|_| SettingsError::NotText(path))?.trim();
        if text.is_empty() {
            return Ok(self.variable(name));
        }
        Ok(Some(Value { text: text.to_owned(), origin: path.to_owned() }))
    }
}

/// Parses the host and port of the server's URL. The tunnel is only at the root, so a path is ignored, as in Rancher's agent.
pub(super) fn parse_server(value: &Value) -> Result<Endpoint, SettingsError> {
    let invalid = || SettingsError::InvalidServer { origin: value.origin.clone() };
    let url = Url::parse(&value.text).map_err(|_| invalid())?;
    match url.scheme() {
        "https" => {}
        "http" => return Err(SettingsError::PlainServer { origin: value.origin.clone() }),
        _ => return Err(invalid()),
    }
    let host = match url.host().ok_or_else(invalid)? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    let endpoint = Endpoint { host, port: url.port().unwrap_or(443) };
    // Requests take an `http::Uri`, so the URL must be one too.
    let uri: Result<Uri, _> = format!("https://{endpoint}/").parse();
    uri.map(|_| endpoint).map_err(|_| invalid())
}

pub(super) fn parse_token(value: Value) -> Result<SecretString, SettingsError> {
    match HeaderValue::from_str(&value.text) {
        Ok(_) => Ok(value.text.into()),
        Err(_) => Err(SettingsError::InvalidToken { origin: value.origin }),
    }
}

pub(super) fn parse_checksum(text: &str) -> Result<String, SettingsError> {
    let is_sha256 = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_sha256 {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(SettingsError::InvalidChecksum(text.to_owned()))
    }
}

/// Parses the address of the API server that Kubernetes sets in pods.
pub(super) fn parse_in_cluster_address(host: &str, port: &str) -> Result<Endpoint, SettingsError> {
    let parsed = parse_port(port).filter(|port| *port != 0);
    let port = parsed.ok_or_else(|| SettingsError::InvalidPort(port.to_owned()))?;
    Ok(Endpoint { host: without_brackets(host).to_owned(), port })
}

pub(super) fn parse_allowed_address(text: &str) -> Result<Endpoint, SettingsError> {
    parse_endpoint(text).ok_or_else(|| SettingsError::InvalidApiServer(text.to_owned()))
}

/// Parses `host:port` or `[ip]:port`, and converts the host to lower case.
pub(crate) fn parse_endpoint(text: &str) -> Option<Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let unbracketed = without_brackets(host);
    // An IPv6 address requires brackets; other hosts must not have them.
    let is_valid = !unbracketed.is_empty()
        && unbracketed.contains(':') == (unbracketed.len() != host.len())
        && !unbracketed.contains(['/', '@', '[', ']'])
        && !unbracketed.contains(char::is_whitespace);
    let port = parse_port(port)?;
    is_valid.then(|| Endpoint { host: unbracketed.to_ascii_lowercase(), port })
}

/// Digits only; `str::parse` would also accept `+443`.
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Parses the proxy for `server`; `None` if `no_proxy` exempts the server.
pub(super) fn parse_proxy(
    value: &Value,
    no_proxy: String,
    server: &Endpoint,
) -> Result<Option<Intercept>, SettingsError> {
    let invalid = || SettingsError::InvalidProxy { origin: value.origin.clone() };
    let uri: Uri = format!("https://{server}/").parse().map_err(|_| invalid())?;
    let proxy_unless =
        |no_proxy| Matcher::builder().https(value.text.clone()).no(no_proxy).build().intercept(&uri);
    // The matcher ignores a proxy that it cannot parse; the agent would then bypass the proxy.
    let proxy = proxy_unless(String::new()).ok_or_else(invalid)?;
    let has_host = proxy.uri().host().is_some_and(|host| !host.is_empty());
    if !has_host || !matches!(proxy.uri().scheme_str(), Some("http" | "https")) {
        return Err(invalid());
    }
    Ok(proxy_unless(no_proxy))
}
