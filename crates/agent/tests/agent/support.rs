//! A running agent and its environment.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::{Event, Network, RunError, Settings, Status};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::server::{self, Server};

/// The time after which a test that waits fails.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) const TOKEN: &str = "canary-registration-token";

/// The names and addresses of a simulated network.
pub(crate) type Hosts = Vec<(&'static str, SocketAddr)>;

/// Variables of an agent in a cluster.
pub(crate) fn variables(server: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("CATTLE_SERVER", server.to_owned()),
        ("CATTLE_TOKEN", TOKEN.to_owned()),
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1".to_owned()),
        ("KUBERNETES_SERVICE_PORT", "443".to_owned()),
    ])
}

/// Variables of an agent of `server` that trusts its certificate authority.
pub(crate) fn variables_with_checksum(server: &Server) -> BTreeMap<&'static str, String> {
    let mut variables = variables(server::URL);
    variables.insert("CATTLE_CA_CHECKSUM", server.checksum());
    variables
}

pub(crate) fn settings(variables: &BTreeMap<&'static str, String>) -> Settings {
    Settings::from_environment(|name| variables.get(name).cloned(), |_| None).unwrap()
}

/// A network in which only `hosts` exist; the requested port is ignored.
pub(crate) fn network(hosts: Hosts) -> Network {
    Network::new(move |host: String, _| {
        let address = hosts.iter().find(|(name, _)| *name == host).map(|(_, address)| *address);
        async move {
            let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("{host} is unknown"));
            TcpStream::connect(address.ok_or_else(unknown)?).await
        }
    })
}

/// A running agent and its events.
pub(crate) struct Agent {
    pub(crate) status: Status,
    pub(crate) stop: CancellationToken,
    events: Arc<Mutex<Vec<Event>>>,
    event_count: watch::Receiver<usize>,
    task: JoinHandle<Result<(), RunError>>,
}

impl Agent {
    pub(crate) fn start(settings: Settings, network: Network) -> Self {
        let (status, stop) = (Status::new(), CancellationToken::new());
        let (event_counter, event_count) = watch::channel(0);
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let (recording_status, event_log) = (status.clone(), Arc::clone(&events));
        let observer = Arc::new(move |event: &Event| {
            recording_status.record(event);
            event_log.lock().unwrap().push(event.clone());
            event_counter.send_modify(|event_count| *event_count += 1);
        });
        let task = tokio::spawn(agent::run(settings, network, observer, stop.clone()));
        Self { status, stop, events, event_count, task }
    }

    /// An agent of `server` that trusts its certificate authority and reaches `hosts` too.
    pub(crate) fn for_server(server: &Server, mut hosts: Hosts) -> Self {
        hosts.push((server::NAME, server.address));
        Self::start(settings(&variables_with_checksum(server)), network(hosts))
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Waits for an event for which `find` returns a value, and returns it.
    pub(crate) async fn wait_for<T>(&mut self, find: impl Fn(&Event) -> Option<T>) -> T {
        let waiting = async {
            loop {
                self.event_count.borrow_and_update();
                if let Some(outcome) = self.events().iter().find_map(&find) {
                    return outcome;
                }
                self.event_count.changed().await.unwrap();
            }
        };
        let outcome = tokio::time::timeout(TIMEOUT, waiting).await;
        outcome.unwrap_or_else(|_| panic!("no such event: {:#?}", self.events.lock().unwrap()))
    }

    pub(crate) async fn wait_until_connected(&mut self) {
        self.wait_for(|event| matches!(event, Event::Connected { .. }).then_some(())).await;
    }

    /// Waits for the first failure, and returns its event.
    pub(crate) async fn wait_for_failure(&mut self) -> Event {
        self.wait_for(|event| event.is_failure().then(|| event.clone())).await
    }

    /// Waits until the agent has stopped; returns all events.
    pub(crate) async fn wait_until_stopped(self) -> Vec<Event> {
        tokio::time::timeout(TIMEOUT, self.task).await.unwrap().unwrap().unwrap();
        self.events.lock().unwrap().clone()
    }
}

/// Fails the test if `work` takes too long.
pub(crate) async fn within_limit<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, work).await.expect("took too long")
}
