//! Waits for the connections of a session before the session is closed.

use std::time::Duration;

use remotedialer::Session;
use tokio::time::{Instant, sleep};

/// The interval between checks of the connections.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Waits until no connection is open, or none has carried a byte for `idle_time`.
pub(super) async fn wait_until_idle(session: &Session, idle_time: Duration) {
    let mut traffic = Traffic { bytes: 0, last_traffic_at: Instant::now() };
    while session.connections() > 0 {
        let stats = session.stats();
        let bytes = stats.bytes_received + stats.bytes_sent;
        let pending = session.buffered() + session.queued();
        if traffic.record(bytes, pending, Instant::now()) >= idle_time {
            break;
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// The traffic of all connections at the last check.
struct Traffic {
    /// The sum of all bytes so far.
    bytes: u64,
    last_traffic_at: Instant,
}

impl Traffic {
    /// Records the counters of a check; returns the time since the last byte. `pending` bytes, which wait for a slow reader, are
    /// traffic too.
    fn record(&mut self, bytes: u64, pending: usize, now: Instant) -> Duration {
        if bytes != self.bytes || pending > 0 {
            *self = Self { bytes, last_traffic_at: now };
        }
        now.duration_since(self.last_traffic_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_and_pending_bytes_are_traffic() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut traffic = Traffic { bytes: 0, last_traffic_at: start };
        for (second, bytes, pending, expected) in
            [(0, 7, 0, 0), (2, 7, 0, 2), (3, 8, 0, 0), (5, 8, 1, 0), (6, 8, 0, 1), (9, 8, 0, 4)]
        {
            let idle = traffic.record(bytes, pending, after(second));
            assert_eq!(idle, Duration::from_secs(expected), "second {second}");
        }
    }
}
