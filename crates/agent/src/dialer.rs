//! Dials the only target that the server reaches through the agent: the API server of the cluster.
//!
//! | Part of the request | Rule |
//! |---|---|
//! | network | must be `tcp` |
//! | address | must be `NORMAN_AKS_API_SERVER`, or have the port 443 if that is unset |
//! | target of the connection | always `KUBERNETES_SERVICE_HOST:KUBERNETES_SERVICE_PORT` |
//!
//! The last row protects the network; the others only return an early error for a wrong request. Servers request the API
//! server by its public or private name in Azure. The agent does not resolve that name: a server could send any host, and the
//! name may not be resolvable in the cluster. The address in the cluster belongs to the same API server, whose certificate
//! contains both names and is verified by the server.
//!
//! A denied request does not end the session, because other users share it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use remotedialer::{Dialer, Target};
use tokio::net::TcpStream;

use crate::event::{Event, Observer, shorten};
use crate::network::Network;
use crate::settings::{Endpoint, Settings, parse_endpoint};

/// The minimum interval between events of one kind, which a server could otherwise cause thousands of times per second.
const EVENT_INTERVAL: Duration = Duration::from_secs(10);

/// Dials the API server for the sessions of one agent. Clones share the state.
#[derive(Clone)]
pub(crate) struct ApiServerDialer(Arc<Inner>);

struct Inner {
    api_server: Endpoint,
    allowed_address: Option<Endpoint>,
    network: Network,
    observer: Observer,
    is_draining: AtomicBool,
    denied_events: RateLimit,
    unreachable_events: RateLimit,
}

impl ApiServerDialer {
    pub(crate) fn new(settings: &Settings, network: Network, observer: Observer) -> Self {
        Self(Arc::new(Inner {
            api_server: settings.api_server.clone(),
            allowed_address: settings.allowed_address.clone(),
            network,
            observer,
            is_draining: AtomicBool::new(false),
            denied_events: RateLimit::default(),
            unreachable_events: RateLimit::default(),
        }))
    }

    /// Denies all further connections.
    pub(crate) fn drain(&self) {
        self.0.is_draining.store(true, Ordering::Relaxed);
    }
}

impl Dialer for ApiServerDialer {
    type Stream = TcpStream;

    async fn dial(&self, target: Target) -> io::Result<TcpStream> {
        let inner = &self.0;
        if inner.is_draining.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the agent is stopping"));
        }
        if let Err(reason) = check_target(&target, inner.allowed_address.as_ref()) {
            inner.denied_events.report(|count| {
                let (network, address) = (shorten(&target.network), shorten(&target.address));
                (inner.observer)(&Event::DialDenied { network, address, reason, count });
            });
            return Err(remotedialer::denied());
        }
        let stream = inner.network.connect(&inner.api_server.host, inner.api_server.port).await;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        stream.inspect_err(|error| {
            inner.unreachable_events.report(|count| {
                let (address, reason) = (inner.api_server.to_string(), error.to_string());
                (inner.observer)(&Event::ApiServerUnreachable { address, reason, count });
            });
        })
    }
}

/// Checks whether the server may request `target`. The error is the reason.
fn check_target(target: &Target, allowed_address: Option<&Endpoint>) -> Result<(), &'static str> {
    if target.network != "tcp" {
        return Err("only tcp connections to the cluster's API server are allowed");
    }
    let Some(address) = parse_endpoint(&target.address) else { return Err("the address is not host:port") };
    match allowed_address {
        Some(allowed) if address == *allowed => Ok(()),
        Some(_) => Err("only the address in NORMAN_AKS_API_SERVER is allowed"),
        None if address.port == 443 => Ok(()),
        None => Err("only the cluster's API server is allowed, at port 443"),
    }
}

/// Limits the rate of events, and counts the suppressed ones.
#[derive(Default)]
struct RateLimit(Mutex<(Option<Instant>, u64)>);

impl RateLimit {
    /// Counts an event. Calls `emit` with the number of events since the last such call, unless that call was too recent.
    fn report(&self, emit: impl FnOnce(u64)) {
        self.report_at(Instant::now(), emit);
    }

    fn report_at(&self, now: Instant, emit: impl FnOnce(u64)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last_emitted, count) = &mut *state;
        *count += 1;
        if last_emitted.is_some_and(|last| now.duration_since(last) < EVENT_INTERVAL) {
            return;
        }
        *last_emitted = Some(now);
        let count = std::mem::take(count);
        drop(state);
        emit(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(network: &str, address: &str, allowed: Option<&str>) -> bool {
        let target = Target { network: network.to_owned(), address: address.to_owned() };
        check_target(&target, allowed.map(|allowed| parse_endpoint(allowed).unwrap()).as_ref()).is_ok()
    }

    #[test]
    fn without_allowed_address_only_tcp_to_port_443_is_allowed() {
        for (network, address, expected) in [
            ("tcp", "name.privatelink.westeurope.azmk8s.io:443", true),
            ("tcp", "10.0.0.1:443", true),
            ("tcp", "[fd00::1]:443", true),
            ("tcp", "169.254.169.254:80", false),
            ("tcp", "name:0443", true),
            ("tcp", "name:+443", false),
            ("tcp", "name", false),
            ("tcp", ":443", false),
            ("tcp", "fd00::1:443", false),
            ("tcp", "a b:443", false),
            ("tcp", "user@name:443", false),
            ("tcp4", "name:443", false),
            ("udp", "name:443", false),
            ("unix", "/var/run/docker.sock", false),
            ("", "name:443", false),
        ] {
            assert_eq!(is_allowed(network, address, None), expected, "{network}/{address}");
        }
    }

    #[test]
    fn only_the_allowed_address_is_accepted() {
        let allowed = Some("Name.azmk8s.io:443");
        assert!(is_allowed("tcp", "name.AZMK8S.io:443", allowed));
        for address in ["other.azmk8s.io:443", "name.azmk8s.io:6443", "10.0.0.1:443", "name.azmk8s.io.:443"] {
            assert!(!is_allowed("tcp", address, allowed), "{address}");
        }
    }

    #[test]
    fn frequent_events_are_suppressed_and_counted() {
        let limit = RateLimit::default();
        let mut reported = Vec::new();
        let start = Instant::now();
        for seconds in [0, 1, 2, 9, 10, 19, 20] {
            limit.report_at(start + Duration::from_secs(seconds), |count| reported.push(count));
        }
        assert_eq!(reported, [1, 4, 2]);
    }
}
