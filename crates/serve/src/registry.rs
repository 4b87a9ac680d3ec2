//! The connections without an authenticated request, by peer address, in the order in which they would be closed. The
//! registry does not close them itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The registered connections, grouped by peer address.
#[derive(Default)]
pub(super) struct Registry {
    /// The last connection ID or key of an idle connection. Each new connection and each end of a request increments it.
    sequence: u64,
    len: usize,
    addresses: HashMap<IpAddr, PeerConnections>,
    /// The addresses, each with the number of its connections, in ascending order of that number.
    by_size: BTreeSet<(usize, IpAddr)>,
    /// The IDs of connections from [`take_first`](Self::take_first) that have not ended.
    closing: HashSet<u64>,
}

/// The connections of one address.
#[derive(Default)]
struct PeerConnections {
    /// By ID, and so in the order in which they were opened.
    open: BTreeMap<u64, Entry>,
    /// The IDs of the idle connections, in the order in which they became idle.
    idle: BTreeMap<u64, u64>,
}

struct Entry {
    close: CancellationToken,
    requests: usize,
    /// The key in [`PeerConnections::idle`], and the start of the idle time; `None` while there are requests.
    idle: Option<(u64, Instant)>,
}

impl Registry {
    /// The number of connections.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds an idle connection; returns its ID.
    pub(super) fn insert(&mut self, address: IpAddr, close: CancellationToken) -> u64 {
        let id = self.next_sequence();
        let connections = self.addresses.entry(address).or_default();
        self.by_size.remove(&(connections.open.len(), address));
        connections.idle.insert(id, id);
        connections.open.insert(id, Entry { close, requests: 0, idle: Some((id, Instant::now())) });
        self.by_size.insert((connections.open.len(), address));
        self.len += 1;
        id
    }

    /// Removes a connection; returns false if it is not registered.
    pub(super) fn remove(&mut self, address: IpAddr, id: u64) -> bool {
        self.take_connection(address, id).is_some()
    }

    /// Records the end of a connection.
    pub(super) fn end(&mut self, address: IpAddr, id: u64) {
        self.remove(address, id);
        self.closing.remove(&id);
    }

    /// The number of connections from [`take_first`](Self::take_first) that have not ended.
    pub(super) fn closing_count(&self) -> usize {
        self.closing.len()
    }

    fn take_connection(&mut self, address: IpAddr, id: u64) -> Option<CancellationToken> {
        let connections = self.addresses.get_mut(&address)?;
        let entry = connections.open.remove(&id)?;
        if let Some((key, _)) = entry.idle {
            connections.idle.remove(&key);
        }
        let remaining = connections.open.len();
        self.by_size.remove(&(remaining + 1, address));
        if remaining == 0 {
            self.addresses.remove(&address);
        } else {
            self.by_size.insert((remaining, address));
        }
        self.len -= 1;
        Some(entry.close)
    }

    /// Records the start of a request.
    pub(super) fn start_request(&mut self, address: IpAddr, id: u64) {
        let Some(connections) = self.addresses.get_mut(&address) else { return };
        let Some(entry) = connections.open.get_mut(&id) else { return };
        entry.requests += 1;
        if let Some((key, _)) = entry.idle.take() {
            connections.idle.remove(&key);
        }
    }

    /// Records the end of a request.
    pub(super) fn end_request(&mut self, address: IpAddr, id: u64) {
        let key = self.next_sequence();
        let Some(connections) = self.addresses.get_mut(&address) else { return };
        let Some(entry) = connections.open.get_mut(&id) else { return };
        entry.requests = entry.requests.saturating_sub(1);
        if entry.requests == 0 && entry.idle.is_none() {
            entry.idle = Some((key, Instant::now()));
            connections.idle.insert(key, id);
        }
    }

    /// The time at which a connection became idle; `None` if it has requests or is not registered.
    pub(super) fn idle_since(&self, address: IpAddr, id: u64) -> Option<Instant> {
        self.addresses.get(&address)?.open.get(&id)?.idle.map(|(_, since)| since)
    }

    /// Removes the connection to close first: the longest idle one of the address with the most connections. If none of these
    /// is idle, continues with the address with the next most connections. Unless `only_idle`, addresses with fewer than half
    /// of the maximum are spared; instead, the oldest connection of the address with the most connections is removed.
    pub(super) fn take_first(&mut self, only_idle: bool) -> Option<CancellationToken> {
        let (largest_size, largest_address) = *self.by_size.last()?;
        let is_large_enough = |size: usize| only_idle || size * 2 >= largest_size;
        let idle = self.by_size.iter().rev().take_while(|(size, _)| is_large_enough(*size)).find_map(
            |(_, address)| {
                let (_, id) = self.addresses.get(address)?.idle.first_key_value()?;
                Some((*address, *id))
            },
        );
        let oldest = || {
            let (id, _) = self.addresses.get(&largest_address)?.open.first_key_value()?;
            (!only_idle).then_some((largest_address, *id))
        };
        let (address, id) = idle.or_else(oldest)?;
        self.closing.insert(id);
        self.take_connection(address, id)
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An open connection in the plain list.
    #[derive(Clone, Debug)]
    struct Expected {
        address: IpAddr,
        id: u64,
        requests: usize,
        /// The index of the step in which the connection last became idle.
        idle_since: usize,
        close: CancellationToken,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8),
        Remove(usize),
        StartRequest(usize),
        EndRequest(usize),
        TakeFirst(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..4).prop_map(Step::Insert),
            any::<usize>().prop_map(Step::Remove),
            any::<usize>().prop_map(Step::StartRequest),
            any::<usize>().prop_map(Step::EndRequest),
            any::<bool>().prop_map(Step::TakeFirst),
        ]
    }

    proptest! {
        /// Compares the registry with a plain list.
        #[test]
        fn registry_matches_a_plain_list(steps in prop::collection::vec(step(), 1..80)) {
            let mut registry = Registry::default();
            let mut open: Vec<Expected> = Vec::new();
            for (time, step) in steps.into_iter().enumerate() {
                let index_of = |number: usize| (!open.is_empty()).then(|| number % open.len());
                match step {
                    Step::Insert(last_octet) => {
                        let (address, close) = (IpAddr::from([192, 0, 2, last_octet]), CancellationToken::new());
                        let id = registry.insert(address, close.clone());
                        open.push(Expected { address, id, requests: 0, idle_since: time, close });
                    }
                    Step::Remove(number) => if let Some(index) = index_of(number) {
                        let Expected { address, id, .. } = open.remove(index);
                        prop_assert!(registry.remove(address, id));
                        prop_assert!(!registry.remove(address, id));
                    },
                    Step::StartRequest(number) => if let Some(index) = index_of(number) {
                        registry.start_request(open[index].address, open[index].id);
                        open[index].requests += 1;
                    },
                    Step::EndRequest(number) => if let Some(index) = index_of(number)
                        .filter(|index| open[*index].requests > 0)
                    {
                        registry.end_request(open[index].address, open[index].id);
                        open[index].requests -= 1;
                        open[index].idle_since = time;
                    },
                    Step::TakeFirst(only_idle) => {
                        let size = |address| open.iter().filter(|connection| connection.address == address).count();
                        let largest_size = open.iter().map(|connection| size(connection.address)).max().unwrap_or_default();
                        let has_idle = open.iter().any(|connection| connection.requests == 0);
                        match registry.take_first(only_idle) {
                            None => prop_assert!(open.is_empty() || only_idle && !has_idle),
                            Some(close) => {
                                close.cancel();
                                let index = open.iter().position(|connection| connection.close.is_cancelled()).unwrap();
                                let Expected { address, requests, idle_since, .. } = open[index].clone();
                                let idle = open
                                    .iter()
                                    .filter(|connection| connection.address == address && connection.requests == 0);
                                if requests == 0 {
                                    let longest_idle_since = idle.map(|connection| connection.idle_since).min();
                                    prop_assert_eq!(longest_idle_since, Some(idle_since), "the longest idle");
                                    prop_assert!(only_idle || size(address) * 2 >= largest_size);
                                } else {
                                    prop_assert!(!only_idle && size(address) == largest_size && idle.count() == 0);
                                }
                                open.remove(index);
                            }
                        }
                    }
                }
                prop_assert_eq!(registry.len(), open.len());
                for Expected { address, id, requests, .. } in &open {
                    prop_assert_eq!(registry.idle_since(*address, *id).is_some(), *requests == 0);
                }
                let sizes: usize = registry.by_size.iter().map(|(size, _)| size).sum();
                prop_assert_eq!((sizes, registry.by_size.len()), (open.len(), registry.addresses.len()));
            }
        }
    }
}
