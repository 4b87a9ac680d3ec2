//! Absolute URLs, which Terraform expects (`docs/contract/terraform.md#schemas-and-links`).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::api::state::AppState;

/// Converts paths to URLs of this server, as clients reach it; an extractor.
#[derive(Clone, Debug)]
pub struct Links {
    base: String,
}

impl Links {
    /// `base` is the scheme and host without a trailing slash, for example `https://rancher.example.com`.
    pub fn new(base: String) -> Self {
        Self { base }
    }

    /// The URL of `path`, which starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl FromRequestParts<AppState> for Links {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(Self::new(state.base_url(parts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_absolute_and_keep_colons() {
        let links = Links::new("https://h:8443".to_owned());
        assert_eq!(links.url("/v3/cloudCredentials/a:b"), "https://h:8443/v3/cloudCredentials/a:b");
    }
}
