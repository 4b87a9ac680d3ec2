//! Timers: pings, dead peers, blocked writes and timeouts of connections.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::{Phase, SessionDriver};
use crate::config::SessionConfig;
use crate::error::SessionError;

/// The interval at which the timeouts of connections are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Timers of a session.
#[derive(Debug)]
pub(super) struct Timers {
    sleep: Pin<Box<Sleep>>,
    last_heard: Instant,
    next_ping: Instant,
    next_sync: Option<Instant>,
    next_check: Instant,
    /// The time since which the socket has accepted none of the waiting bytes.
    blocked_since: Option<Instant>,
}

impl Timers {
    pub(super) fn new(now: Instant, config: &SessionConfig) -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep_until(now + config.ping_interval)),
            last_heard: now,
            next_ping: now + config.ping_interval,
            next_sync: config.sync_interval.map(|interval| now + interval),
            next_check: now + CHECK_INTERVAL,
            blocked_since: None,
        }
    }

    pub(super) fn set_last_heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    pub(super) fn set_blocked(&mut self, now: Instant) {
        self.blocked_since.get_or_insert(now);
    }

    pub(super) fn set_unblocked(&mut self) {
        self.blocked_since = None;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> SessionDriver<S> {
    /// Handles expired timers, and sets the next one.
    pub(super) fn check_timers(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), SessionError> {
        if let Phase::Closing { reason, deadline, .. } = &self.phase
            && now >= *deadline
        {
            return Err(reason.clone());
        }
        if matches!(self.phase, Phase::Open) {
            self.check_peer(now)?;
            self.run_periodic_tasks(now)?;
        }
        // A timer that fires too early is harmless, so it is not reset if the deadline moves to a later time.
        let deadline = self.next_deadline();
        if self.timers.sleep.is_elapsed() || deadline < self.timers.sleep.deadline() {
            self.timers.sleep.as_mut().reset(deadline);
        }
        if self.timers.sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    fn check_peer(&mut self, now: Instant) -> Result<(), SessionError> {
        let config = &self.shared.config;
        if now.duration_since(self.timers.last_heard) >= config.peer_timeout {
            return Err(SessionError::PeerTimeout);
        }
        match self.timers.blocked_since {
            Some(since) if now.duration_since(since) >= config.write_timeout => {
                Err(SessionError::WriteTimeout)
            }
            _ => Ok(()),
        }
    }

    fn run_periodic_tasks(&mut self, now: Instant) -> Result<(), SessionError> {
        let config = &self.shared.config;
        let (ping_interval, sync_interval, linger) =
            (config.ping_interval, config.sync_interval, config.linger);
        if now >= self.timers.next_ping {
            self.timers.next_ping = now + ping_interval;
            // If the socket is blocked, no more pings are queued.
            if self.timers.blocked_since.is_none() {
                self.queue_ping();
            }
        }
        if let (Some(next_sync), Some(interval)) = (self.timers.next_sync, sync_interval)
            && now >= next_sync
        {
            self.timers.next_sync = Some(now + interval);
            self.send_sync()?;
        }
        if now >= self.timers.next_check {
            self.timers.next_check = now + CHECK_INTERVAL;
            self.not_found_responses = 0;
            let channels: Vec<_> = self.shared.lock().connections.values().map(Arc::clone).collect();
            for channel in channels {
                if let Some(error) = channel.check_timeouts(now, linger) {
                    self.fail_connection(&channel, error)?;
                } else {
                    let outcome = channel.check_flow(now);
                    self.apply_flow(&channel, &outcome)?;
                }
            }
        }
        Ok(())
    }

    fn next_deadline(&self) -> Instant {
        if let Phase::Closing { deadline, .. } = &self.phase {
            return *deadline;
        }
        let timers = &self.timers;
        let config = &self.shared.config;
        let mut deadline = timers.next_ping.min(timers.last_heard + config.peer_timeout);
        if let Some(since) = timers.blocked_since {
            deadline = deadline.min(since + config.write_timeout);
        }
        if let Some(next_sync) = timers.next_sync {
            deadline = deadline.min(next_sync);
        }
        // Without connections there is nothing to check, so an idle session sleeps longer.
        if !self.shared.lock().connections.is_empty() {
            deadline = deadline.min(timers.next_check);
        }
        deadline
    }
}
