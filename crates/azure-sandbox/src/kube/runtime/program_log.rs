//! The log of a container that runs a program: the program's output.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The maximum number of lines; older ones are dropped, as log rotation does.
const MAX_LINES: usize = 10_000;
/// The maximum size of all lines, in bytes.
const MAX_BYTES: usize = 4 << 20;

#[derive(Debug, Default)]
pub(crate) struct ProgramLog {
    lines: Mutex<Lines>,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Lines {
    /// The number of the oldest line in the log. The first line of the program has the number 0.
    first_number: i64,
    /// Each line with its time, in milliseconds since 1970.
    entries: VecDeque<(i64, String)>,
    bytes: usize,
}

impl ProgramLog {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds text, which may have several lines.
    pub(crate) fn push(&self, text: &str, now_ms: i64) {
        let mut lines = self.lines();
        for line in text.lines() {
            lines.bytes += line.len();
            lines.entries.push_back((now_ms, line.to_owned()));
        }
        while lines.entries.len() > MAX_LINES || lines.bytes > MAX_BYTES {
            let Some((_, line)) = lines.entries.pop_front() else { break };
            lines.bytes -= line.len();
            lines.first_number += 1;
        }
    }

    /// Marks the log as complete.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The numbers of the lines in the log that are not older than `since_ms`.
    pub(crate) fn line_numbers_since(&self, since_ms: Option<i64>) -> std::ops::Range<i64> {
        let lines = self.lines();
        let to_i64 = |lines: usize| i64::try_from(lines).unwrap_or(i64::MAX);
        let older_count = lines
            .entries
            .partition_point(|(time_ms, _)| since_ms.is_some_and(|since_ms| *time_ms < since_ms));
        lines.first_number + to_i64(older_count)..lines.first_number + to_i64(lines.entries.len())
    }

    /// A line with its time.
    pub(crate) fn line(&self, number: i64) -> Option<(i64, String)> {
        let lines = self.lines();
        lines.entries.get(usize::try_from(number - lines.first_number).ok()?).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_are_dropped() {
        let log = ProgramLog::default();
        log.push("a\nb", 1);
        log.push("c", 2);
        assert_eq!(
            (log.line_numbers_since(None), log.line_numbers_since(Some(2)), log.line_numbers_since(Some(3))),
            (0..3, 2..3, 3..3)
        );
        assert_eq!(log.line(1), Some((1, "b".to_owned())));
        for number in 0..MAX_LINES {
            log.push(&number.to_string(), 3);
        }
        assert_eq!(log.line_numbers_since(None), 3..10_003);
        assert_eq!(log.line(2), None);
        log.push(&"x".repeat(MAX_BYTES), 4);
        assert_eq!(log.line_numbers_since(None), 10_003..10_004);
    }
}
