//! Counters of a session, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one session, or totals of several. They never decrease.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) bytes_received: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) pauses_sent: AtomicU64,
    pub(crate) pauses_received: AtomicU64,
    pub(crate) sessions_started: AtomicU64,
    pub(crate) sessions_ended: AtomicU64,
}

/// The values of [`Stats`] at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsSnapshot {
    /// Bytes of connections received from the peer.
    pub bytes_received: u64,
    /// Bytes of connections sent to the peer.
    pub bytes_sent: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections closed, failed ones included.
    pub closed: u64,
    /// Connections that ended with an error, such as a failed dial or a timeout.
    pub failed: u64,
    /// Pause messages sent because a reader was slow.
    pub pauses_sent: u64,
    /// Pause messages received.
    pub pauses_received: u64,
    /// Sessions started.
    pub sessions_started: u64,
    /// Sessions ended.
    pub sessions_ended: u64,
}

impl StatsSnapshot {
    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed)
    }
}

impl Stats {
    /// Reads the counters.
    pub fn snapshot(&self) -> StatsSnapshot {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatsSnapshot {
            // `closed` is read before `opened`, so that the difference is never negative.
            closed: load(&self.closed),
            opened: load(&self.opened),
            bytes_received: load(&self.bytes_received),
            bytes_sent: load(&self.bytes_sent),
            failed: load(&self.failed),
            pauses_sent: load(&self.pauses_sent),
            pauses_received: load(&self.pauses_received),
            sessions_ended: load(&self.sessions_ended),
            sessions_started: load(&self.sessions_started),
        }
    }
}
