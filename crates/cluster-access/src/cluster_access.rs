//! Operations in clusters.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aks::nodes::Node;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use crate::access::Access;
use crate::agents::{AgentSession, AgentSessions};
use crate::client_pool::ClientPool;
use crate::error::Error;
use crate::kube_client::KubeClient;
use crate::options::Options;
use crate::replay::ReplayableRequest;
use crate::roles::{RemovedUsers, RoleChanges, RoleState, RoleWatch, change, state, users, watch};
use crate::routes::Path;
use crate::upgraded::UpgradedConnections;
use crate::{access_review, headers, manifest, nodes, service_account};

/// Kubernetes' group of all authenticated users.
const AUTHENTICATED_GROUP: &str = "system:authenticated";
const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");
const IMPERSONATE_GROUP: HeaderName = HeaderName::from_static("impersonate-group");

/// Version and size of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterInfo {
    /// The object at `/version`.
    pub version: Value,
    /// The number of nodes.
    pub node_count: i64,
}

/// Options of a forwarded request.
#[derive(Clone, Copy, Debug)]
pub struct ForwardOptions {
    /// The time limit for the head of the response.
    pub limit: Duration,
    /// Whether an application in the cluster responds, not Kubernetes. A 401 from Kubernetes rejects this server's access; a
    /// 401 from an application is for the client.
    pub is_application: bool,
}

/// The user that a request impersonates in a cluster.
#[derive(Clone, Copy, Debug)]
pub struct ImpersonatedUser<'a> {
    /// The name of the user.
    pub user: &'a str,
    /// The group to which the roles are bound.
    pub group: &'a str,
}

/// The response to a forwarded request.
#[derive(Debug)]
pub struct ProxyResponse {
    /// Head and body, without headers that are not for the client.
    pub response: Response<Incoming>,
    /// The two connections to join if the protocol changes (status 101).
    pub upgraded: Option<UpgradedConnections>,
}

/// Access to clusters. Clones share the connections.
#[derive(Clone)]
pub struct ClusterAccess {
    inner: Arc<Inner>,
}

struct Inner {
    clients: ClientPool,
    options: Options,
}

impl ClusterAccess {
    /// Creates the clients without sending a request. Reads the proxy settings of the environment, as the client of Azure does.
    pub fn new(options: Options) -> Self {
        let clients = ClientPool::new(options.clone());
        Self { inner: Arc::new(Inner { clients, options }) }
    }

    /// The sessions of agents. Clusters that this server cannot reach directly are reached through them.
    pub fn sessions(&self) -> &AgentSessions {
        &self.inner.options.sessions
    }

    /// The path by which a cluster was last reached; `None` if it is unknown, or the last attempt failed.
    pub fn path(&self, access: &Access) -> Option<Path> {
        self.inner.clients.get(access).ok()?.path()
    }

    /// Whether the cluster's API responds through this session of an agent.
    pub async fn responds_through(&self, session: &Arc<AgentSession>, access: &Access) -> bool {
        match self.inner.clients.get(access) {
            Ok(client) => client.probe_session(session).await,
            Err(_) => false,
        }
    }

    fn kube(&self, access: &Access) -> Result<KubeClient, Error> {
        Ok(self.inner.clients.get(access)?.kube())
    }

    /// Reads the version and the number of nodes.
    pub async fn info(&self, access: &Access) -> Result<ClusterInfo, Error> {
        let kube = self.kube(access)?;
        let reading = async {
            let version = kube.request_text(Request::get("/version").body(Vec::new())).await?;
            let version: Value = serde_json::from_str(&version).unwrap_or_default();
            if !version.is_object() {
                return Err(kube.unreadable("the version is not a JSON object"));
            }
            Ok(ClusterInfo { version, node_count: nodes::count(&kube).await? })
        };
        kube.with_timeout(self.inner.options.info_timeout, reading).await
    }

    /// The nodes of a cluster, by name.
    pub async fn nodes(&self, access: &Access) -> Result<Vec<Node>, Error> {
        let kube = self.kube(access)?;
        kube.with_timeout(self.inner.options.nodes_timeout, nodes::list(&kube)).await
    }

    /// Checks that the cluster accepts this identity and grants the rights that this server needs: to impersonate users, and
    /// to bind roles.
    ///
    /// # Errors
    /// [`Error::is_forbidden`] if a right is missing.
    pub async fn check_rights(&self, access: &Access) -> Result<(), Error> {
        let kube = self.kube(access)?;
        kube.with_timeout(self.inner.options.info_timeout, access_review::check(&kube)).await
    }

    /// Deletes the service account that earlier versions used, with its token and binding. Idempotent.
    pub async fn remove_service_account(&self, access: &Access) -> Result<(), Error> {
        let kube = self.kube(access)?;
        kube.with_timeout(self.inner.options.setup_timeout, service_account::remove(&kube)).await
    }

    /// Applies the objects of the cluster agent's manifest. Takes over fields of other field managers.
    ///
    /// # Errors
    /// [`Error::ForeignObject`] if another server deployed the cluster's agent: nothing is changed then.
    pub async fn apply_manifest(&self, access: &Access, objects: &[Value]) -> Result<(), Error> {
        let kube = self.kube(access)?;
        kube.with_timeout(self.inner.options.setup_timeout, manifest::apply(&kube, objects)).await
    }

    /// Deletes the objects that this server created in a cluster: the roles and bindings, then the agent of `installation`,
    /// through which the requests may pass. The agent's namespace remains. Idempotent.
    pub async fn remove_objects(&self, access: &Access, installation: &str) -> Result<(), Error> {
        let kube = self.kube(access)?;
        kube.with_timeout(self.inner.options.roles_timeout, async {
            let removal = state::read(&kube).await?.removal();
            change::apply_changes(&kube, &removal).await?;
            manifest::delete(&kube, installation).await
        })
        .await
    }

    /// Deletes secrets in the namespace of the cluster agent. Idempotent.
    pub async fn delete_agent_secrets(&self, access: &Access, names: &[String]) -> Result<(), Error> {
        let kube = self.kube(access)?;
        kube.with_timeout(self.inner.options.setup_timeout, manifest::delete_secrets(&kube, names)).await
    }

    /// Reads the rights in a cluster.
    pub async fn role_state(&self, access: &Access) -> Result<RoleState, Error> {
        let kube = self.kube(access)?;
        kube.with_timeout(self.inner.options.roles_timeout, state::read(&kube)).await
    }

    /// Changes the rights in a cluster: deletes stale objects, then creates or corrects others. Continues after the failure of
    /// one object, and returns the first failure.
    pub async fn change_roles(&self, access: &Access, changes: &RoleChanges) -> Result<(), Error> {
        let kube = self.kube(access)?;
        kube.with_timeout(self.inner.options.roles_timeout, change::apply_changes(&kube, changes)).await
    }

    /// Watches the rights in a cluster, starting at `state`, for about `duration`.
    pub async fn watch_roles(
        &self,
        access: &Access,
        state: &RoleState,
        duration: Duration,
    ) -> Result<RoleWatch, Error> {
        let kube = self.kube(access)?;
        kube.with_timeout(self.inner.options.roles_timeout, watch::open(&kube, state, duration)).await
    }

    /// Removes users from all bindings of a cluster, and deletes bindings without other subjects. Groups and service accounts
    /// remain in their bindings.
    pub async fn remove_users(
        &self,
        access: &Access,
        users: &BTreeSet<String>,
    ) -> Result<RemovedUsers, Error> {
        let kube = self.kube(access)?;
        kube.with_timeout(self.inner.options.roles_timeout, users::remove(&kube, users)).await
    }

    /// Forwards a request as `user`; returns head and body of the response as they arrive. Headers that are not for the
    /// cluster, or not for the client, are dropped, and `Location` becomes a path in the cluster. After
    /// [`Error::is_access_outdated`] the request can be forwarded again with other access.
    ///
    /// Only for callers with a bearer token. The `Origin` of a WebSocket request is replaced by the cluster's own, regardless
    /// of the page that opened it; this is safe because browsers never send bearer tokens automatically.
    ///
    /// Dropping the response or the future aborts the request.
    pub async fn forward(
        &self,
        access: &Access,
        user: ImpersonatedUser<'_>,
        request: &mut ReplayableRequest,
        options: ForwardOptions,
    ) -> Result<ProxyResponse, Error> {
        let client = self.inner.clients.get(access)?;
        let host = client.host();
        let mut cluster_headers = request.headers().clone();
        headers::filter_request(&mut cluster_headers, host);
        add_impersonation(&mut cluster_headers, user)?;
        let mut response = client.send_within(options.limit, request, &cluster_headers).await?;
        if response.status() == StatusCode::UNAUTHORIZED && !options.is_application {
            let message = "the cluster rejected this server's credentials".to_owned();
            return Err(Error::ErrorResponse {
                host: host.to_owned(),
                status: StatusCode::UNAUTHORIZED,
                message,
            });
        }
        let mut upgraded = None;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let what = "it switches protocols without an upgrade request";
            let (protocol, client) = request
                .client_upgrade
                .take()
                .ok_or_else(|| Error::Unreadable { host: host.to_owned(), what })?;
            upgraded =
                Some(UpgradedConnections { client, cluster: hyper::upgrade::on(&mut response), protocol });
        }
        headers::filter_response(response.headers_mut(), host, request.uri(), options.is_application);
        Ok(ProxyResponse { response, upgraded })
    }
}

fn add_impersonation(headers: &mut http::HeaderMap, user: ImpersonatedUser<'_>) -> Result<(), Error> {
    let header_value =
        |value: &str, message| HeaderValue::try_from(value).map_err(|_| Error::InvalidInput(message));
    headers.insert(IMPERSONATE_USER, header_value(user.user, "the user name contains invalid characters")?);
    headers.insert(IMPERSONATE_GROUP, HeaderValue::from_static(AUTHENTICATED_GROUP));
    headers.append(
        IMPERSONATE_GROUP,
        header_value(user.group, "the group of the user contains invalid characters")?,
    );
    Ok(())
}
