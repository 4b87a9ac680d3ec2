//! The source of callers and credentials for the nine actions and the catalog: this server's store, or the Rancher beside it.

use axum::extract::FromRef;

use crate::api::state::{AppState, HttpOptions, HttpState};
use crate::service::audit::AuditLog;
use crate::service::azure_access::Resolver;
use crate::service::listings::Listings;
use crate::service::rancher_access::RancherAccess;

/// The state of the handlers of the nine actions and the catalog.
#[derive(Clone)]
pub(crate) enum MetaState {
    Own(AppState),
    Rancher(RancherState),
}

/// The services of a server that runs alongside Rancher.
#[derive(Clone)]
pub struct RancherState {
    pub(in crate::api) http: HttpState,
    pub(in crate::api) access: RancherAccess,
    pub(in crate::api) audit_log: AuditLog,
}

impl RancherState {
    pub fn new(http: HttpOptions, access: RancherAccess, audit_log: AuditLog) -> Self {
        Self { http: HttpState::new(http), access, audit_log }
    }

    /// Evicts expired decisions and credentials, and updates the gauges of the services.
    pub(crate) fn set_gauges(&self) {
        self.access.evict_expired();
        self.access.listings().set_gauges();
    }
}

impl FromRef<AppState> for MetaState {
    fn from_ref(state: &AppState) -> Self {
        Self::Own(state.clone())
    }
}

impl FromRef<RancherState> for MetaState {
    fn from_ref(state: &RancherState) -> Self {
        Self::Rancher(state.clone())
    }
}

impl MetaState {
    pub(in crate::api) fn listings(&self) -> &Listings {
        match self {
            Self::Own(state) => &state.listings,
            Self::Rancher(state) => state.access.listings(),
        }
    }

    /// Returns the resolver of credentials in a body. The caller must be authenticated first.
    pub(in crate::api) fn resolver(&self) -> &Resolver {
        match self {
            Self::Own(state) => state.credentials.resolver(),
            Self::Rancher(state) => state.access.resolver(),
        }
    }

    pub(in crate::api) fn audit_log(&self) -> &AuditLog {
        match self {
            Self::Own(state) => &state.audit_log,
            Self::Rancher(state) => &state.audit_log,
        }
    }

    /// The settings and limits of HTTP.
    pub(in crate::api) fn http(&self) -> &HttpState {
        match self {
            Self::Own(state) => state.http(),
            Self::Rancher(state) => &state.http,
        }
    }
}
