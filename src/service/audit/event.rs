//! Audited actions of callers, and their records.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use uuid::{ClockSequence, Timestamp, Uuid};

use crate::service::Caller;
use crate::store::AuditRow;

/// The longest stored ID, in characters. IDs come from URLs, which clients choose.
pub(super) const MAX_ID_LEN: usize = 256;

/// The longest stored detail, in characters.
const MAX_DETAIL_LEN: usize = 4_096;

/// An audited action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// An object was created.
    Create,
    /// An object was changed.
    Update,
    /// An object was deleted.
    Delete,
    /// A stored credential was used for a request to Azure.
    Use,
    /// An action of the API was called on an object, for example `generateKubeconfig`.
    Call(&'static str),
}

impl Action {
    /// The stored value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Use => "use",
            Self::Call(name) => name,
        }
    }
}

/// The outcome of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It succeeded.
    Done,
    /// The request was rejected: forbidden, invalid, or for an object that does not exist.
    Refused,
    /// It failed for another reason.
    Failed,
}

impl Outcome {
    /// The stored value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// An action of a caller. Every request that uses a credential creates an event, so creation copies almost nothing.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    pub(super) key: AuditKey,
    request_id: Arc<str>,
    pub(super) position: Position,
    pub(super) is_counted: bool,
}

/// The position of an event in the log: its time, and its number among the events of this process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    pub(super) at_ms: i64,
    number: u64,
}

/// The properties of an event that do not depend on its time: events with equal keys are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AuditKey {
    caller: Arc<Caller>,
    action: Action,
    object_type: &'static str,
    object_id: Arc<str>,
    pub(super) outcome: Outcome,
    remote: Option<IpAddr>,
    detail: Arc<str>,
}

impl Hash for AuditKey {
    /// Omits fields that follow from the token or are almost always equal, because every use of a credential computes this hash.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.caller.token_name, self.action, &self.object_id, self.remote, &self.detail).hash(state);
    }
}

impl AuditEvent {
    /// A successful `action` of `caller` on an object; [`AuditEvent::outcome`] sets another outcome. `object_type` is Norman's
    /// name, such as `cloudCredential`.
    pub fn new(caller: &Arc<Caller>, action: Action, object_type: &'static str, object_id: &str) -> Self {
        let key = AuditKey {
            caller: Arc::clone(caller),
            action,
            object_type,
            object_id: truncate_id(object_id).into(),
            outcome: Outcome::Done,
            remote: None,
            detail: Arc::default(),
        };
        Self { key, request_id: Arc::default(), position: Position::default(), is_counted: false }
    }

    /// Sets the outcome.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.key.outcome = outcome;
        self
    }

    /// Sets the detail, which must not contain the content of the object.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Self {
        self.key.detail = detail.chars().take(MAX_DETAIL_LEN).collect::<String>().into();
        self
    }

    /// Counts the event with others like it if it succeeded. Rejected and failed attempts have a record each.
    #[must_use]
    pub fn counted(mut self) -> Self {
        self.is_counted = true;
        self
    }

    /// Sets the request ID and the client IP.
    #[must_use]
    pub fn request(mut self, request_id: &Arc<str>, remote: Option<IpAddr>) -> Self {
        self.request_id = match truncate_id(request_id) {
            id if id.len() == request_id.len() => Arc::clone(request_id),
            truncated => truncated.into(),
        };
        self.key.remote = remote;
        self
    }

    /// The record of this event at `now_ms`, for the store function that writes the change.
    pub(in crate::service) fn into_row_at(mut self, now_ms: i64) -> AuditRow {
        self.position = Position::new(now_ms);
        self.into_row()
    }

    /// The record of this event at its position.
    pub(super) fn into_row(self) -> AuditRow {
        let Self { key, request_id, position, .. } = self;
        let AuditKey { caller, action, object_type, object_id, outcome, remote, detail } = key;
        AuditRow {
            id: position.to_id().to_string(),
            at_ms: position.at_ms,
            user_id: caller.user_id.clone(),
            user_name: caller.user_name.clone(),
            token_name: caller.token_name.clone(),
            action: action.as_str().to_owned(),
            object_type: object_type.to_owned(),
            object_id: object_id.to_string(),
            outcome: outcome.as_str().to_owned(),
            request_id: request_id.to_string(),
            remote: remote.map(|address| address.to_string()).unwrap_or_default(),
            detail: detail.to_string(),
            counted: None,
        }
    }
}

impl Position {
    pub(super) fn new(at_ms: i64) -> Self {
        /// Starts at a random number, so that processes differ. The highest of the `NUMBER_BITS` bits is 0 at first, to prevent
        /// an overflow.
        static NEXT_NUMBER: LazyLock<AtomicU64> =
            LazyLock::new(|| AtomicU64::new(Uuid::new_v4().as_u64_pair().0 >> (65 - Position::NUMBER_BITS)));
        Self { at_ms, number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed) }
    }

    /// The number of bits of `number` in an ID.
    const NUMBER_BITS: u32 = 42;

    /// A UUID of version 7: IDs sort by time, and within a millisecond by number.
    fn to_id(self) -> Uuid {
        let at_ms = u64::try_from(self.at_ms).unwrap_or_default();
        let nanos = u32::try_from(at_ms % 1_000).unwrap_or_default() * 1_000_000;
        Uuid::new_v7(Timestamp::from_unix(self, at_ms / 1_000, nanos))
    }
}

impl ClockSequence for Position {
    type Output = u64;

    fn generate_sequence(&self, _: u64, _: u32) -> u64 {
        self.number & ((1 << Self::NUMBER_BITS) - 1)
    }

    fn usable_bits(&self) -> usize {
        Self::NUMBER_BITS as usize
    }
}

/// Truncates an ID to [`MAX_ID_LEN`].
fn truncate_id(id: &str) -> &str {
    if id.len() <= MAX_ID_LEN {
        return id;
    }
    id.char_indices().nth(MAX_ID_LEN).and_then(|(end, _)| id.get(..end)).unwrap_or(id)
}
