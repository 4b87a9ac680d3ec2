//! Requests to a server in process, and their responses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);

/// A request, sent with [`Call::send`].
pub(crate) struct Call<'a> {
    router: &'a Router,
    request: http::request::Builder,
    token: Option<String>,
    body: Body,
    peer: SocketAddr,
}

impl<'a> Call<'a> {
    pub(crate) fn new(router: &'a Router, method: Method, path: &str, token: &str) -> Self {
        let request = Request::builder().method(method).uri(path).header("host", "norman.test");
        Self { router, request, token: Some(token.to_owned()), body: Body::empty(), peer: LOOPBACK }
    }

    #[must_use]
    pub(crate) fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Sends the request from another address.
    #[must_use]
    pub(crate) fn from(mut self, peer: SocketAddr) -> Self {
        self.peer = peer;
        self
    }

    #[must_use]
    pub(crate) fn anonymous(mut self) -> Self {
        self.token = None;
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Sets the HTTP version.
    #[must_use]
    pub(crate) fn version(mut self, version: http::Version) -> Self {
        self.request = self.request.version(version);
        self
    }

    #[must_use]
    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    #[must_use]
    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn send(self) -> TestResponse {
        TestResponse::read(self.response().await).await
    }

    /// Sends the request; the body of the response may still be streaming.
    pub(crate) async fn response(self) -> Response {
        let request = match &self.token {
            Some(token) => self.request.header("authorization", format!("Bearer {token}")),
            None => self.request,
        };
        exchange(self.router, request.body(self.body).unwrap(), self.peer).await
    }
}

/// Sends a request unchanged, as if from `peer`.
pub(crate) async fn exchange(router: &Router, mut request: Request<Body>, peer: SocketAddr) -> Response {
    request.extensions_mut().insert(ConnectInfo(peer));
    router.clone().oneshot(request).await.unwrap()
}

/// A response.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl TestResponse {
    pub(crate) async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Self { status: parts.status, headers: parts.headers, body }
    }

    /// Asserts the status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The ID of an object.
    pub(crate) fn id(&self) -> String {
        string_at(&self.json(), "id")
    }

    /// The objects of a list.
    pub(crate) fn data(&self) -> Vec<Value> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        self.json()["data"].as_array().unwrap().clone()
    }

    /// The IDs of the objects of a list.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.data().iter().map(|object| string_at(object, "id")).collect()
    }

    /// The string in `error`.
    pub(crate) fn error(&self) -> String {
        string_at(&self.json(), "error")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

pub(crate) fn string_at(object: &Value, key: &str) -> String {
    object[key].as_str().unwrap_or_else(|| panic!("{key}: {object}")).to_owned()
}
