//! The log of a container that runs a program.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The maximum number of lines; older ones are dropped, as by a rotation.
const MAX_LINES: usize = 10_000;
/// The maximum size of all lines.
const MAX_BYTES: usize = 4 << 20;

#[derive(Debug, Default)]
pub(crate) struct Output {
    lines: Mutex<Lines>,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Lines {
    /// The number of the first line.
    first: i64,
    /// With the time of each, in milliseconds since 1970.
    all: VecDeque<(i64, String)>,
    bytes: usize,
}

impl Output {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds text, which may have several lines.
    pub(crate) fn push(&self, text: &str, now_ms: i64) {
        let mut lines = self.lines();
        for line in text.lines() {
            lines.bytes += line.len();
            lines.all.push_back((now_ms, line.to_owned()));
        }
        while lines.all.len() > MAX_LINES || lines.bytes > MAX_BYTES {
            let Some((_, line)) = lines.all.pop_front() else { break };
            lines.bytes -= line.len();
            lines.first += 1;
        }
    }

    /// Marks the log as complete.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The numbers of the existing lines since a time.
    pub(crate) fn since(&self, since_ms: Option<i64>) -> std::ops::Range<i64> {
        let lines = self.lines();
        let count = |lines: usize| i64::try_from(lines).unwrap_or(i64::MAX);
        let older = lines.all.partition_point(|(at, _)| since_ms.is_some_and(|since| *at < since));
        lines.first + count(older)..lines.first + count(lines.all.len())
    }

    /// A line with its time.
    pub(crate) fn line(&self, number: i64) -> Option<(i64, String)> {
        let lines = self.lines();
        lines.all.get(usize::try_from(number - lines.first).ok()?).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_are_dropped() {
        let output = Output::default();
        output.push("a\nb", 1);
        output.push("c", 2);
        assert_eq!((output.since(None), output.since(Some(2)), output.since(Some(3))), (0..3, 2..3, 3..3));
        assert_eq!(output.line(1), Some((1, "b".to_owned())));
        for number in 0..MAX_LINES {
            output.push(&number.to_string(), 3);
        }
        assert_eq!(output.since(None), 3..10_003);
        assert_eq!(output.line(2), None);
        output.push(&"x".repeat(MAX_BYTES), 4);
        assert_eq!(output.since(None), 10_003..10_004);
    }
}
