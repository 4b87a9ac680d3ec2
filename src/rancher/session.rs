//! The token or cookie of a caller, unchanged.

use std::fmt;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderValue};

/// The headers with which a caller authenticates to Rancher. They are forwarded unchanged, and never printed.
#[derive(Clone)]
pub struct Session {
    authorization: Option<HeaderValue>,
    cookie: Option<HeaderValue>,
    token_name: String,
    is_jwt: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("token_name", &self.token_name).finish_non_exhaustive()
    }
}

impl Session {
    /// `authorization` is the value of the header, `cookie` that of the cookie `R_SESS`. `token` is the token that Rancher
    /// takes from one of the two, if its format is known.
    pub fn new(authorization: Option<&HeaderValue>, cookie: Option<&str>, token: Option<&str>) -> Self {
        let cookie = cookie.and_then(|value| HeaderValue::try_from(format!("R_SESS={value}")).ok());
        let (mut authorization, mut cookie) = (authorization.cloned(), cookie);
        for value in [&mut authorization, &mut cookie].into_iter().flatten() {
            value.set_sensitive(true);
        }
        let token_name = token.and_then(public_name).unwrap_or_default().to_owned();
        let is_jwt = token.is_some_and(|token| !token.contains(':') && token.split('.').count() == 3);
        Self { authorization, cookie, token_name, is_jwt }
    }

    /// Whether the caller sent neither a token nor a cookie.
    pub fn is_empty(&self) -> bool {
        self.authorization.as_ref().is_none_or(HeaderValue::is_empty) && self.cookie.is_none()
    }

    /// Whether the token is a JSON Web Token, whose user only Rancher can determine.
    pub fn is_jwt(&self) -> bool {
        self.is_jwt
    }

    /// The name of the token, which is not secret; empty if the token has none.
    pub fn token_name(&self) -> &str {
        &self.token_name
    }

    /// The values of both headers, as input of a keyed hash. They are secret.
    pub fn secret_bytes(&self) -> [&[u8]; 2] {
        [&self.authorization, &self.cookie]
            .map(|value| value.as_ref().map(HeaderValue::as_bytes).unwrap_or_default())
    }

    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in [(AUTHORIZATION, &self.authorization), (COOKIE, &self.cookie)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// The name of a token `<name>:<secret>`, if it can be logged.
fn public_name(token: &str) -> Option<&str> {
    let (name, _) = token.split_once(':')?;
    let is_loggable = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'/' | b'_');
    (name.len() <= 128 && name.bytes().all(is_loggable)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session_with_token(token: &str) -> Session {
        let header = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        Session::new(Some(&header), None, Some(token))
    }

    #[test]
    fn debug_shows_the_name_and_no_secret() {
        let header = HeaderValue::from_static("Bearer token-abc:canary");
        let session = Session::new(Some(&header), Some("token-def:canary"), Some("token-abc:canary"));
        let debug = format!("{session:?}");
        assert!(debug.contains("token-abc") && !debug.contains("canary"), "{debug}");
        let mut headers = HeaderMap::new();
        session.add_to(&mut headers);
        assert!(!format!("{headers:?}").contains("canary"));
    }

    #[test]
    fn tokens_are_parsed_into_name_and_kind() {
        for (token, name, is_jwt) in [
            ("token-abc:secret", "token-abc", false),
            ("ext/token-abc:secret", "ext/token-abc", false),
            ("kubeconfig-user-abcde:secret", "kubeconfig-user-abcde", false),
            ("line\tbreak:secret", "", false),
            ("abcdef", "", false),
            ("eyJh.eyJz.c2ln", "", true),
            ("a.b:c.d", "a.b", false),
        ] {
            let session = session_with_token(token);
            assert_eq!((session.token_name(), session.is_jwt()), (name, is_jwt), "{token}");
        }
    }

    #[test]
    fn session_with_an_empty_header_is_empty() {
        assert!(Session::new(None, None, None).is_empty());
        assert!(Session::new(Some(&HeaderValue::from_static("")), None, None).is_empty());
        assert!(!Session::new(None, Some("a:b"), Some("a:b")).is_empty());
    }
}
