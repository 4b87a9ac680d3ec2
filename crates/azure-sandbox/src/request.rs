//! Parsed requests to Entra and Resource Manager.

use http::HeaderMap;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::clouds::{Cloud, Service, resolve};

pub(crate) struct AzureRequest {
    pub(crate) cloud: Cloud,
    pub(crate) service: Service,
    /// Without the port.
    pub(crate) host: String,
    pub(crate) method: http::Method,
    /// As sent.
    pub(crate) path: String,
    /// As sent; empty for none.
    pub(crate) query: String,
    /// The decoded segments of the path.
    pub(crate) segments: Vec<String>,
    pub(crate) headers: HeaderMap,
}

impl AzureRequest {
    /// Parses a request; `Err` with the host name if it is unknown.
    pub(crate) fn new(parts: Parts) -> Result<Self, String> {
        let host_header = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let host =
            parts.uri.host().or_else(|| host_header.and_then(|host_header| host_header.split(':').next()));
        let host = host.unwrap_or_default().to_ascii_lowercase();
        let (cloud, service) = resolve(&host).ok_or_else(|| host.clone())?;
        let path = parts.uri.path().to_owned();
        let trimmed = path.trim_matches('/');
        let segments = if trimmed.is_empty() {
            Vec::new()
        } else {
            trimmed
                .split('/')
                .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
                .collect()
        };
        let query = parts.uri.query().unwrap_or_default().to_owned();
        Ok(Self { cloud, service, host, method: parts.method, path, query, segments, headers: parts.headers })
    }

    /// Whether the method is other than GET and HEAD.
    pub(crate) fn is_write(&self) -> bool {
        ![http::Method::GET, http::Method::HEAD].contains(&self.method)
    }

    /// A query parameter; its name is case-insensitive, as in Azure.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
    }

    /// A header, if it is valid text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The index in `$skiptoken`, from [`AzureRequest::next_link`]; 0 by default, `None` if the token is invalid.
    pub(crate) fn skip_index(&self) -> Option<usize> {
        use base64::Engine as _;
        let Some(token) = self.parameter("$skiptoken") else { return Some(0) };
        let decoded = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        std::str::from_utf8(&decoded).ok()?.strip_prefix("from=")?.parse().ok()
    }

    /// The URL of this request with `index` in `$skiptoken`.
    pub(crate) fn next_link(&self, index: usize) -> String {
        use base64::Engine as _;
        let query: Vec<&str> = self
            .query
            .split('&')
            .filter(|pair| {
                let name = pair.split('=').next().unwrap_or_default();
                let name = percent_decode_str(name).decode_utf8_lossy();
                !pair.is_empty() && !name.eq_ignore_ascii_case("$skiptoken")
            })
            .collect();
        let token = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(format!("from={index}"));
        let separator = if query.is_empty() { "" } else { "&" };
        let query = query.join("&");
        let host = self.cloud.names().management;
        format!("https://{host}{}?{query}{separator}%24skiptoken={token}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> AzureRequest {
        let (parts, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
        AzureRequest::new(parts).unwrap()
    }

    #[test]
    fn next_link_keeps_the_query() {
        let first = request("https://management.azure.com/a%20b/c?api-version=1&%24filter=x%20eq%20'y'");
        assert_eq!(first.segments, ["a b", "c"]);
        assert_eq!(first.skip_index(), Some(0));
        let link = first.next_link(7);
        assert!(
            link.starts_with("https://management.azure.com/a%20b/c?api-version=1&%24filter=x%20eq%20'y'&")
        );
        let second = request(&link);
        assert_eq!(second.skip_index(), Some(7));
        assert_eq!(second.parameter("$filter").unwrap(), "x eq 'y'");
        assert_eq!(request(&second.next_link(9)).skip_index(), Some(9));
        assert_eq!(request("https://management.azure.com/a?$skipToken=nonsense").skip_index(), None);
    }

    #[test]
    fn unknown_host_is_reported() {
        let (parts, ()) =
            http::Request::get("/x").header("host", "example.com:8").body(()).unwrap().into_parts();
        assert_eq!(AzureRequest::new(parts).err().unwrap(), "example.com");
    }
}
