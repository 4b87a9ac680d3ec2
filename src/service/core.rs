//! All services of one server, built once at its start.

use azure::Azure;
use clock::Clock;
use cluster_access::ClusterAccess;

use super::agents::Agents;
use super::audit::AuditLog;
use super::base::Base;
use super::catalog::upgrade_plan::UpgradePlans;
use super::cluster_events::ClusterEvents;
use super::clusters::Clusters;
use super::credentials::Credentials;
use super::kubeconfigs::Kubeconfigs;
use super::kubernetes::Kubernetes;
use super::listings::Listings;
use super::members::Members;
use super::nodes::Nodes;
use super::notifier::ChangeNotifier;
use super::own_tokens::OwnTokens;
use super::public_address::PublicAddress;
use super::readiness::Readiness;
use super::registration::Registration;
use super::reviews::Reviews;
use super::secrets::Secrets;
use super::server_access::ServerAccess;
use super::settings::Settings;
use super::tokens::Tokens;
use super::users::Users;
use crate::store::Store;

/// Options of the services, set at the start of the server.
pub struct Options {
    /// The ID of the installation: the first half of the tag `norman-aks-owner`.
    pub instance: String,
    /// Settings with a fixed value, which overrides a stored one.
    pub fixed_settings: Vec<(String, String)>,
    /// The setting `agent-image` if none is stored; empty for none.
    pub default_agent_image: String,
    /// The maximum memory of the cache of lists, in bytes.
    pub cache_bytes: u64,
    /// Returns whether the log cannot be written because its disk is full.
    pub log_is_full: fn() -> bool,
}

/// All services. Clones share everything.
#[derive(Clone)]
pub struct Core {
    /// The database. Like the secrets and clients below, it must not be used by `api`.
    pub store: Store,
    /// The encryption of stored secrets.
    pub secrets: Secrets,
    /// The client of Azure.
    pub azure: Azure,
    /// The client of Kubernetes APIs.
    pub cluster_access: ClusterAccess,
    /// The audit log.
    pub audit_log: AuditLog,
    /// The current time.
    pub clock: Clock,
    /// Notified after each change of a cluster.
    pub notifier: ChangeNotifier,
    /// [`Options::instance`].
    pub instance: String,
    /// API tokens and their users.
    pub tokens: Tokens,
    /// Users.
    pub users: Users,
    /// Named settings.
    pub settings: Settings,
    /// Cloud credentials, stored and inline.
    pub credentials: Credentials,
    /// The listing actions.
    pub listings: Listings,
    /// Cluster objects.
    pub clusters: Clusters,
    /// Plans of upgrades of clusters.
    pub upgrade_plans: UpgradePlans,
    /// Events of clusters.
    pub cluster_events: ClusterEvents,
    /// Roles of users in clusters.
    pub members: Members,
    /// Registration tokens of clusters.
    pub registration: Registration,
    /// The callers' own tokens.
    pub own_tokens: OwnTokens,
    /// The server's own access to clusters.
    pub server_access: ServerAccess,
    /// The agents inside clusters.
    pub agents: Agents,
    /// Requests of callers to clusters.
    pub kubernetes: Kubernetes,
    /// Kubeconfigs for callers.
    pub kubeconfigs: Kubeconfigs,
    /// The URL of this server for kubeconfigs and agents.
    pub public_address: PublicAddress,
    /// The nodes of clusters.
    pub nodes: Nodes,
    /// The checks behind `/readyz`.
    pub readiness: Readiness,
}

impl Core {
    /// Builds all services without starting any task.
    pub fn new(base: Base, options: Options) -> Self {
        let Base { store, audit_log, clock, .. } = &base;
        let tokens = Tokens::new(store.clone(), clock.clone());
        let settings = Settings::new(store.clone(), audit_log.clone(), clock.clone(), options.fixed_settings);
        settings.set_default("agent-image", options.default_agent_image);
        let public_address = PublicAddress::new(settings.clone());
        let credentials = Credentials::new(&base);
        let reviews = Reviews::new(&base, credentials.clone(), settings.clone());
        let clusters = Clusters::new(&base, credentials.clone(), settings.clone(), reviews);
        let listings = Listings::new(base.azure.clone(), options.cache_bytes, clock.clone());
        let server_access = ServerAccess::new(&base, credentials.clone());
        let agents = Agents::new(&base, &clusters, server_access.clone());
        let kubeconfigs = Kubeconfigs::new(
            clusters.clone(),
            tokens.clone(),
            settings.clone(),
            audit_log.clone(),
            public_address.clone(),
        );
        Self {
            users: Users::new(store.clone(), tokens.clone(), clock.clone(), Some(audit_log.clone())),
            upgrade_plans: UpgradePlans::new(&base, clusters.clone(), credentials.clone(), listings.clone()),
            listings,
            cluster_events: ClusterEvents::new(&base, clusters.clone(), tokens.clone()),
            members: Members::new(&base, clusters.clone(), credentials.clone()),
            registration: Registration::new(
                &base,
                clusters.clone(),
                settings.clone(),
                public_address.clone(),
                agents.clone(),
            ),
            own_tokens: OwnTokens::new(tokens.clone(), clusters.clone(), audit_log.clone()),
            kubernetes: Kubernetes::new(&base, clusters.clone(), tokens.clone(), server_access.clone()),
            kubeconfigs,
            public_address,
            nodes: Nodes::new(&base, server_access.clone()),
            readiness: Readiness::new(store.clone(), base.secrets.clone(), options.log_is_full),
            notifier: clusters.notifier(),
            instance: options.instance,
            store: base.store,
            secrets: base.secrets,
            azure: base.azure,
            cluster_access: base.cluster_access,
            audit_log: base.audit_log,
            clock: base.clock,
            agents,
            tokens,
            settings,
            credentials,
            clusters,
            server_access,
        }
    }
}
