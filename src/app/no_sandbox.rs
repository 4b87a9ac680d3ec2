//! Replaces `sandbox.rs` in a build without the feature `sandbox`: starting the sandbox fails.

use std::convert::Infallible;
use std::net::SocketAddr;

use clock::Clock;

use super::error::Error;
use super::run::check_features;
use super::server::{App, Connectors};
use super::tls::TlsListener;
use crate::config::Config;

/// Never constructed.
pub(super) struct RunningSandbox(Infallible);

#[expect(clippy::unused_async, reason = "the signatures are those of the build with the sandbox")]
impl RunningSandbox {
    pub(super) async fn start(config: &Config, _: &Clock) -> Result<Option<Self>, Error> {
        check_features(config).map(|()| None)
    }

    pub(super) fn connectors(&self, _: Clock) -> Connectors {
        match self.0 {}
    }

    pub(super) fn tls_listener(&self, _: &Config) -> Result<Option<TlsListener>, Error> {
        match self.0 {}
    }

    pub(super) async fn seed_and_announce(
        &self,
        _: &Config,
        _: &App,
        _: SocketAddr,
        _: Option<&TlsListener>,
    ) -> Result<(), Error> {
        match self.0 {}
    }

    pub(super) fn instructions(&self, _: &Config) -> String {
        match self.0 {}
    }

    pub(super) fn credential_instructions(&self) -> String {
        match self.0 {}
    }

    pub(super) async fn stop(self) {
        match self.0 {}
    }
}
