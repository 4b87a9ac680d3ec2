//! Takes the place of `sandbox.rs` in a build without the feature `sandbox`: starting the built-in Azure fails, and
//! nothing else can be called.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;

use clock::Clock;

use super::{App, Error, Ways, tls};
use crate::config::{self, Config};

/// The built-in Azure, of which there is none.
pub(super) struct BuiltIn(Infallible);

impl BuiltIn {
    #[expect(clippy::unused_async, reason = "the signature of the other build")]
    pub(super) async fn start(_: &Path, _: &config::Sandbox, _: &Clock) -> Result<Self, Error> {
        Err(Error::NoSandbox)
    }

    pub(super) fn ways(&self, _: Clock) -> Ways {
        match self.0 {}
    }

    pub(super) fn tls(&self, _: &Config) -> Result<Option<tls::Ready>, Error> {
        match self.0 {}
    }

    #[expect(clippy::unused_async, reason = "the signature of the other build")]
    pub(super) async fn furnish(
        &self,
        _: &Config,
        _: &App,
        _: SocketAddr,
        _: Option<&tls::Ready>,
    ) -> Result<(), Error> {
        match self.0 {}
    }

    pub(super) fn instructions(&self, _: &Path) -> String {
        match self.0 {}
    }

    #[expect(clippy::unused_async, reason = "the signature of the other build")]
    pub(super) async fn stop(self) {
        match self.0 {}
    }
}
