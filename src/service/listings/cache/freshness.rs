//! The source of a response, and the reasons for stale ones and for loads.

/// The source of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// From the cache, within its TTL.
    Hit,
    /// Loaded for this request.
    Miss,
    /// From the cache, past its TTL: a load is in progress, is slow, or failed.
    Stale,
}

impl Freshness {
    /// The value of the header `X-Norman-Aks-Cache`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
        }
    }
}

/// The reason for serving a stale entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StaleReason {
    /// Entries of this kind are served while a load is in progress.
    Refreshing,
    /// The load runs for longer than `STALE_AFTER`.
    Slow,
    /// The previous load timed out, and none has succeeded since.
    TimedOut,
    /// The load failed with an error that does not invalidate the entry.
    Failed,
}

impl StaleReason {
    /// The value of the label `reason` in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Refreshing => "refreshing",
            Self::Slow => "slow",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
        }
    }
}

/// The reason for a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service::listings) enum LoadReason {
    /// A caller waits for it.
    Caller,
    /// A stale entry is served meanwhile.
    Refresh,
}
