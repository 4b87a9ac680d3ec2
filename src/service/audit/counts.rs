//! Counts of frequent actions: one record per minute, with the count and the last time, instead of a record for each action.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use super::event::{AuditEvent, AuditKey};
use super::writer;
use crate::store::AuditRow;
use crate::store::audit::Count;

/// The maximum number of counts; further events have a record each. Also the maximum number of unwritten records of earlier
/// minutes; further ones are logged.
const MAX_COUNTS: usize = 10_000;

const MINUTE_MS: i64 = 60_000;

/// The counts of the current minute.
#[derive(Default)]
pub(super) struct Counts(Mutex<State>);

#[derive(Default)]
struct State {
    current: HashMap<AuditKey, Counted>,
    /// Records of earlier minutes that are not yet written.
    ended: Vec<AuditRow>,
    is_closed: bool,
}

struct Counted {
    record: AuditRow,
    count: Count,
    /// The count when the record was last taken for the database.
    taken_count: i64,
}

impl Counted {
    fn new(event: AuditEvent) -> Self {
        let record = event.into_row();
        let count = Count { count: 1, last_ms: record.at_ms };
        Self { record, count, taken_count: 0 }
    }

    /// Takes the record, unless it was taken before with this count.
    fn take_unwritten(&mut self) -> Option<AuditRow> {
        let is_unchanged = mem::replace(&mut self.taken_count, self.count.count) == self.count.count;
        (!is_unchanged).then(|| AuditRow { counted: Some(self.count), ..self.record.clone() })
    }
}

impl Counts {
    /// Counts an event; returns it if it needs its own record.
    pub(super) fn add(&self, event: AuditEvent) -> Option<AuditEvent> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { current, ended, is_closed } = &mut *state;
        if *is_closed {
            return Some(event);
        }
        let Some(counted) = current.get_mut(&event.key) else {
            if current.len() >= MAX_COUNTS {
                return Some(event);
            }
            current.insert(event.key.clone(), Counted::new(event));
            return None;
        };
        if minute(counted.record.at_ms) == minute(event.position.at_ms) {
            counted.count.count += 1;
            counted.count.last_ms = counted.count.last_ms.max(event.position.at_ms);
            return None;
        }
        if let Some(row) = counted.take_unwritten() {
            if ended.len() < MAX_COUNTS {
                ended.push(row);
            } else {
                writer::log_unstored(&row, "the database has been unavailable for too long");
            }
        }
        *counted = Counted::new(event);
        None
    }

    /// Takes the records that the database does not have, or has with an older count.
    pub(super) fn take_unwritten(&self, now_ms: i64) -> Vec<AuditRow> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { current, ended, .. } = &mut *state;
        let mut rows = mem::take(ended);
        current.retain(|_, counted| {
            rows.extend(counted.take_unwritten());
            minute(counted.record.at_ms) == minute(now_ms)
        });
        rows
    }

    /// Stops counting: [`Self::add`] returns every event.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
    }
}

fn minute(at_ms: i64) -> i64 {
    at_ms.div_euclid(MINUTE_MS)
}
