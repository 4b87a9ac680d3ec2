//! Counts of what callers do over and over, in place of a record for each time: one record for each minute, which says how many
//! times and when last.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use super::{Deed, Event, writer};
use crate::store::AuditRow;
use crate::store::events::Count;

/// Different counts at the same time, at most; what comes beyond gets records of its own.
const MAX_COUNTS: usize = 10_000;

const MINUTE_MS: i64 = 60_000;

/// The counts of the current minute.
#[derive(Default)]
pub(super) struct Counts(Mutex<State>);

#[derive(Default)]
struct State {
    current: HashMap<Deed, Counted>,
    /// Of earlier minutes, and not yet written.
    ended: Vec<AuditRow>,
    is_closed: bool,
}

struct Counted {
    record: AuditRow,
    count: Count,
    /// As many of them as the database knows of.
    written: i64,
}

impl Counted {
    fn new(event: Event) -> Self {
        let record = event.into_stored();
        let count = Count { count: 1, last_ms: record.at_ms };
        Self { record, count, written: 0 }
    }

    /// The record, unless the database has it already.
    fn unwritten(&mut self) -> Option<AuditRow> {
        let is_written = mem::replace(&mut self.written, self.count.count) == self.count.count;
        (!is_written).then(|| AuditRow { counted: Some(self.count), ..self.record.clone() })
    }
}

impl Counts {
    /// Counts an event; returns one that has to be recorded by itself.
    pub(super) fn add(&self, event: Event) -> Option<Event> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { current, ended, is_closed } = &mut *state;
        if *is_closed {
            return Some(event);
        }
        let Some(counted) = current.get_mut(&event.deed) else {
            if current.len() >= MAX_COUNTS {
                return Some(event);
            }
            current.insert(event.deed.clone(), Counted::new(event));
            return None;
        };
        if minute(counted.record.at_ms) == minute(event.at.at_ms) {
            counted.count.count += 1;
            counted.count.last_ms = counted.count.last_ms.max(event.at.at_ms);
            return None;
        }
        if let Some(row) = counted.unwritten() {
            if ended.len() < MAX_COUNTS {
                ended.push(row);
            } else {
                writer::log(&row, "the database has been away for too long");
            }
        }
        *counted = Counted::new(event);
        None
    }

    /// The records that the database does not have, or not with their latest count.
    pub(super) fn take(&self, now_ms: i64) -> Vec<AuditRow> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { current, ended, .. } = &mut *state;
        let mut rows = mem::take(ended);
        current.retain(|_, counted| {
            rows.extend(counted.unwritten());
            minute(counted.record.at_ms) == minute(now_ms)
        });
        rows
    }

    /// Counts nothing from now on.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
    }
}

fn minute(at_ms: i64) -> i64 {
    at_ms.div_euclid(MINUTE_MS)
}
