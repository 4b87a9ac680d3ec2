//! Access to the Kubernetes APIs of AKS clusters: version, nodes, rights, and forwarded requests that impersonate users.
//! Sends no requests to Azure, and does not authorize callers.
//!
//! A cluster is reached directly, or through the tunnel of an agent inside it (`agents`, `routes`).
//!
//! Connects only to hosts of AKS (`hosts`), and verifies clusters with the certificate authority from Azure.

#![warn(missing_docs)]

mod access;
mod access_review;
mod agents;
mod certificate;
mod client;
mod client_pool;
mod cluster_access;
mod connector;
mod error;
mod headers;
mod hosts;
mod kube_client;
mod kubeconfig;
mod manifest;
mod nodes;
mod options;
mod relay;
mod replay;
mod roles;
mod routes;
mod service_account;
mod upgraded;

/// The body of a forwarded request.
pub use hyper::body::Body;

pub use self::access::{Access, Identity};
pub use self::agents::{AgentSession, AgentSessions, SessionSlot, TooManySessions};
pub use self::cluster_access::{ClusterAccess, ClusterInfo, ForwardOptions, ImpersonatedUser, ProxyResponse};
pub use self::error::{BodyTooLarge, Error};
pub use self::kubeconfig::{Kubeconfig, SignIn};
pub use self::options::{Options, Resolver};
pub use self::relay::{BoxFuture, Relay, RelayStream};
pub use self::replay::ReplayableRequest;
pub use self::roles::{MANAGED_LABEL, MEMBERS_LABEL, RemovedUsers, RoleChanges, RoleState, RoleWatch};
pub use self::routes::Path;
pub use self::service_account::SERVICE_ACCOUNT;
pub use self::upgraded::{Closing, UpgradedConnections};
