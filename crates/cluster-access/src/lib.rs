//! Inside a cluster: reaching its Kubernetes API, what it says about itself, the roles of callers in it, and passing
//! requests of people on as those people. Knows neither Azure nor callers.
//!
//! Nothing but hosts of AKS is dialled (`hosts`), and a cluster has to prove itself by the authority that Azure named.

#![warn(missing_docs)]

mod account;
mod certificate;
mod dial;
mod error;
mod headers;
mod hosts;
mod kubeconfig;
mod link;
mod links;
mod nodes;
mod outgoing;
mod rights;
mod roles;
mod tunnel;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::time::timeout;
use url::Url;

use self::dial::Dial;
/// The body of a request that is passed on.
pub use hyper::body::Body;

pub use self::account::SERVICE_ACCOUNT;
pub use self::error::{BodyTooLarge, Error};
pub use self::kubeconfig::{Identity, Kubeconfig, SignIn};
use self::link::Dialler;
use self::links::Links;
pub use self::outgoing::Outgoing;
pub use self::roles::{MEMBERS_LABEL, RemovedUsers, RoleChanges, RoleState, RoleWatch};
pub use self::tunnel::{Closing, Tunnel};

/// Gives the address of a host name; `None` when the name does not exist.
pub type Resolver = Arc<dyn Fn(&str) -> Option<SocketAddr> + Send + Sync>;

/// How clusters are reached. The default is as they are reached in Azure.
#[derive(Clone)]
pub struct Options {
    /// Stands in for DNS and for proxies; the addresses that it gives may be anywhere.
    pub resolver: Option<Resolver>,
    /// How long a connection may take, with its name and TLS.
    pub connect_limit: Duration,
    /// How long [`Downstream::facts`] may take.
    pub facts_limit: Duration,
    /// How long changing what this server keeps in a cluster may take.
    pub account_limit: Duration,
    /// How long reading or changing the rights in a cluster may take.
    pub roles_limit: Duration,
    /// How long [`Downstream::nodes`] may take.
    pub nodes_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resolver: None,
            connect_limit: Duration::from_secs(30),
            facts_limit: Duration::from_secs(40),
            account_limit: Duration::from_mins(1),
            roles_limit: Duration::from_mins(1),
            nodes_limit: Duration::from_secs(20),
        }
    }
}

/// Where a cluster is, how it proves who it is, and who we are there.
#[derive(Clone, Debug)]
pub struct Access {
    /// `https://<host>[:port]`, as Azure named it.
    pub endpoint: Url,
    /// The certificates that its own must lead to, PEM.
    pub ca: Vec<u8>,
    /// Who we are there.
    pub identity: Identity,
}

impl Access {
    /// Whether both lead to the same cluster with the same authority and the same secret.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && self.ca == other.ca && self.identity.is_same_as(&other.identity)
    }

    /// When the client certificate ends, in milliseconds since 1970; `None` for a token, and for a certificate that
    /// cannot be read.
    pub fn certificate_expires_ms(&self) -> Option<i64> {
        match &self.identity {
            Identity::Certificate { certificate, .. } => certificate::expires_ms(certificate, &self.ca),
            Identity::Token(_) => None,
        }
    }
}

/// What a cluster says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The object at `/version`.
    pub version: serde_json::Value,
    /// Nodes that it has.
    pub node_count: i64,
}

/// How a request is passed on.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// How long the head of the answer is waited for.
    pub limit: Duration,
    /// Whether what runs in the cluster answers. Kubernetes' own 401 means that it does not know this server; that of an
    /// application is for the client.
    pub leads_inside: bool,
}

/// For whom a request is made inside a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// The name of the user there.
    pub user: &'a str,
    /// The group that has the rights.
    pub group: &'a str,
}

/// What came back for a request that was passed on.
#[derive(Debug)]
pub struct Answer {
    /// Head and body, without what is not for the client.
    pub response: Response<Incoming>,
    /// The two connections to be joined, where the protocol changes (status 101).
    pub tunnel: Option<Tunnel>,
}

/// The way into clusters. Clones share the connections.
#[derive(Clone)]
pub struct Downstream {
    parts: Arc<Parts>,
}

struct Parts {
    links: Links,
    facts_limit: Duration,
    account_limit: Duration,
    roles_limit: Duration,
    nodes_limit: Duration,
}

/// Of what a cluster says about a refusal, so many characters are kept.
const LONGEST_MESSAGE: usize = 500;

/// Everybody who has proved who he is belongs to it, in Kubernetes.
const AUTHENTICATED: &str = "system:authenticated";
const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");
const IMPERSONATE_GROUP: HeaderName = HeaderName::from_static("impersonate-group");

impl Downstream {
    /// Sends nothing. Reads the proxies of the environment, as the client of Azure does.
    pub fn new(options: Options) -> Self {
        let proxies = options.resolver.is_none().then(Matcher::from_system);
        let dialler =
            Dialler { dial: Dial::new(options.resolver), proxies, connect_limit: options.connect_limit };
        let Options { facts_limit, account_limit, roles_limit, nodes_limit, .. } = options;
        let links = Links::new(dialler);
        Self { parts: Arc::new(Parts { links, facts_limit, account_limit, roles_limit, nodes_limit }) }
    }

    /// Version and number of nodes: what comes when the cluster is reachable, knows us and lets us look.
    pub async fn facts(&self, access: &Access) -> Result<Facts, Error> {
        let link = self.parts.links.to(access)?;
        let host = link.host();
        let asked = async {
            let client = link.kube();
            let request =
                Request::get("/version").body(Vec::new()).map_err(|_| Error::Material("the address"))?;
            let version = client.request_text(request).await.map_err(|error| told(host, error))?;
            let version: serde_json::Value = serde_json::from_str(&version).unwrap_or_default();
            if !version.is_object() {
                return Err(Error::Unreadable { host: host.to_owned(), what: "its version" });
            }
            Ok(Facts { version, node_count: nodes::count(client, host).await? })
        };
        in_time(host, self.parts.facts_limit, asked).await
    }

    /// Makes sure that the cluster knows this identity and grants it what this server needs: to act for users, and to bind
    /// roles.
    ///
    /// # Errors
    /// [`Error::is_forbidden`] when a right is missing.
    pub async fn check_rights(&self, access: &Access) -> Result<(), Error> {
        let link = self.parts.links.to(access)?;
        let checking = async { rights::check(&link.kube(), link.host()).await };
        in_time(link.host(), self.parts.facts_limit, checking).await
    }

    /// Removes the service account by which an earlier version entered the cluster, with its token and its binding. May be
    /// repeated.
    pub async fn remove_service_account(&self, access: &Access) -> Result<(), Error> {
        let link = self.parts.links.to(access)?;
        let removing = async { account::remove(&link.kube(), link.host()).await };
        in_time(link.host(), self.parts.account_limit, removing).await
    }

    /// Passes a request on, as `person`, and gives the head of the answer and its body as it comes. What of its headers is
    /// not for the cluster is left out, and so is what of the answer's is not for the client. A `Location` is a path inside
    /// the cluster. After [`Error::is_access_rejected`] it can be sent once more with other access.
    ///
    /// Only for callers who proved who they are by a bearer token: a WebSocket gets the cluster's own origin, whatever page
    /// it was opened from, and a browser sends no bearer token along by itself.
    ///
    /// Dropping the answer, or the future before it, ends the request.
    pub async fn forward(
        &self,
        access: &Access,
        person: Person<'_>,
        outgoing: &mut Outgoing,
        way: Way,
    ) -> Result<Answer, Error> {
        let link = self.parts.links.to(access)?;
        let host = link.host();
        let mut request = outgoing.attempt();
        let path = request.uri().clone();
        headers::to_cluster(request.headers_mut(), link.host());
        let user = HeaderValue::try_from(person.user).map_err(|_| Error::Material("the name of the user"))?;
        let group =
            HeaderValue::try_from(person.group).map_err(|_| Error::Material("the group of the user"))?;
        request.headers_mut().insert(IMPERSONATE_USER, user);
        request.headers_mut().insert(IMPERSONATE_GROUP, HeaderValue::from_static(AUTHENTICATED));
        request.headers_mut().append(IMPERSONATE_GROUP, group);
        let sent = async { link.send(request).await.map_err(|error| Error::of_transport(host, &error)) };
        let mut response = in_time(host, way.limit, sent).await?;
        if response.status() == StatusCode::UNAUTHORIZED && !way.leads_inside {
            let message = "it rejects this server's access".to_owned();
            return Err(Error::Refused { host: host.to_owned(), status: StatusCode::UNAUTHORIZED, message });
        }
        let tunnel = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let what = "it changes the protocol unasked";
            let (protocol, near) =
                outgoing.near.take().ok_or_else(|| Error::Unreadable { host: host.to_owned(), what })?;
            Some(Tunnel { near, far: hyper::upgrade::on(&mut response), protocol })
        } else {
            None
        };
        headers::to_client(response.headers_mut(), host, &path, way.leads_inside);
        Ok(Answer { response, tunnel })
    }
}

async fn in_time<T>(
    host: &str,
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let late = Err(Error::TimedOut { host: host.to_owned(), after: limit });
    timeout(limit, work).await.unwrap_or(late)
}

/// What an error of kube comes to.
fn told(host: &str, error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => {
            let clean = |c: char| if c.is_control() { ' ' } else { c };
            Error::Refused {
                host: host.to_owned(),
                status: StatusCode::from_u16(status.code).unwrap_or(StatusCode::BAD_GATEWAY),
                message: status.message.chars().take(LONGEST_MESSAGE).map(clean).collect(),
            }
        }
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
            Error::Unreadable { host: host.to_owned(), what: "its answer" }
        }
        error => Error::of_transport(host, &error),
    }
}
