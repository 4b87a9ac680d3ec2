//! A writer for log lines that never holds up those who log: lines are put into a buffer, and a thread of its
//! own writes the buffer out in large pieces.
//!
//! When the reader of standard error is too slow, lines below `WARN` are dropped and counted once the
//! buffer is full; warnings and errors have as much room again. At the end everything is written.

use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The bytes that lines below `WARN` may fill.
const ROOM: usize = 4 << 20;

/// How long lines gather between two writes. Waking the thread for each line would cost more than the line itself.
const GATHER: Duration = Duration::from_millis(20);

/// So many gathered bytes do not wait any longer.
const ENOUGH: usize = ROOM / 4;

/// How long the end of the program waits for the reader of standard error.
const LAST_WAIT: Duration = Duration::from_secs(5);

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    thread: Thread,
    /// What has gathered must not wait any longer.
    urgent: bool,
    /// Everything taken so far is written out.
    written: bool,
    closing: bool,
}

/// What the writing thread is at, and so whether it has to be woken.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Thread {
    /// Looks for lines before it rests.
    #[default]
    Busy,
    /// Until there is a line.
    Asleep,
    /// Until a moment has passed, or what is there is urgent.
    Gathering,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, line: &[u8], room: usize) {
        let mut state = self.lock();
        if state.lines.len() + line.len() > room {
            state.dropped += 1;
            return;
        }
        state.lines.extend_from_slice(line);
        state.written = false;
        // Warnings and errors, which have more room, do not wait either: the process may be about to end.
        let urgent = room > ROOM || state.lines.len() >= ENOUGH;
        state.urgent |= urgent;
        if state.thread == Thread::Asleep || state.thread == Thread::Gathering && urgent {
            state.thread = Thread::Busy;
            self.work.notify_one();
        }
    }

    /// Writes what comes until the end.
    fn run(&self, mut out: impl Write) {
        let mut taken = Vec::new();
        let mut lost = Lost::new(&FULL);
        loop {
            let dropped = {
                let mut state = self.lock();
                while state.lines.is_empty() && state.dropped == 0 {
                    state.written = true;
                    self.done.notify_all();
                    if state.closing {
                        return;
                    }
                    state.thread = Thread::Asleep;
                    state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.thread = Thread::Busy;
                }
                state.urgent = false;
                mem::swap(&mut state.lines, &mut taken);
                mem::take(&mut state.dropped)
            };
            lost.write(&mut out, &taken);
            if dropped > 0 {
                count_lost("slow", dropped);
                let line = format!(
                    "norman-aks: {dropped} log lines were dropped, standard error is read too slowly\n"
                );
                lost.write(&mut out, line.as_bytes());
            }
            let _ = out.flush();
            taken.clear();
            taken.shrink_to(ROOM / 16);
            self.gather();
        }
    }

    /// Lets lines gather after a write; the first line after a silence has not waited.
    fn gather(&self) {
        let mut state = self.lock();
        state.thread = Thread::Gathering;
        let waited = self.work.wait_timeout_while(state, GATHER, |state| !state.urgent && !state.closing);
        waited.unwrap_or_else(PoisonError::into_inner).0.thread = Thread::Busy;
    }
}

/// Whether the last write failed for lack of space.
static FULL: AtomicBool = AtomicBool::new(false);

/// Whether the log cannot be written because its disk is full.
pub(super) fn is_full() -> bool {
    FULL.load(Ordering::Relaxed)
}

/// Lines that could not be written, until there is a way to say so.
struct Lost {
    lines: u64,
    reason: String,
    full: &'static AtomicBool,
}

impl Lost {
    fn new(full: &'static AtomicBool) -> Self {
        Self { lines: 0, reason: String::new(), full }
    }

    /// Writes lines. A standard error that is closed or full is no reason to stop serving.
    fn write(&mut self, out: &mut impl Write, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        match self.tell(out).and_then(|()| out.write_all(lines)) {
            Ok(()) => self.full.store(false, Ordering::Relaxed),
            Err(error) => {
                let number = lines.split_inclusive(|byte| *byte == b'\n').count() as u64;
                self.lines += number;
                self.reason = error.to_string();
                let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
                self.full.store(full, Ordering::Relaxed);
                if full {
                    metrics::counter!("norman_aks_disk_full_errors_total", "of" => "log").increment(1);
                }
                count_lost(if full { "full" } else { "error" }, number);
            }
        }
    }

    /// Tells of what was lost before; begins a new line, because the last one may be half written.
    fn tell(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.lines > 0 {
            let (lines, reason) = (self.lines, &self.reason);
            out.write_all(
                format!("\nnorman-aks: {lines} log lines could not be written: {reason}\n").as_bytes(),
            )?;
            self.lines = 0;
        }
        Ok(())
    }
}

fn count_lost(reason: &'static str, lines: u64) {
    metrics::counter!("norman_aks_log_lines_lost_total", "reason" => reason).increment(lines);
}

/// Gives every event a way into the buffer.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

/// The way of one event into the buffer: a whole line with every write.
pub(super) struct Line<'a> {
    shared: &'a Shared,
    room: usize,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.put(line, self.room);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { shared: &self.0, room: 2 * ROOM }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        let room = if *metadata.level() <= Level::WARN { 2 * ROOM } else { ROOM };
        Line { shared: &self.0, room }
    }
}

/// Writes out what is left when it is dropped. Keep it until the end of `main`.
#[must_use]
pub struct Guard(Arc<Shared>);

impl Guard {
    /// Waits until everything that has been logged so far is written, but not for ever.
    pub fn flush(&self) {
        let mut state = self.0.lock();
        state.urgent = true;
        self.0.work.notify_one();
        let waited = self.0.done.wait_timeout_while(state, LAST_WAIT, |state| !state.written);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.lock().closing = true;
        self.0.work.notify_one();
        self.flush();
    }
}

/// Starts the thread that writes to `out`.
pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Lines, Guard)> {
    let shared = Arc::new(Shared::default());
    shared.lock().written = true;
    let writer = Arc::clone(&shared);
    thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(out))?;
    Ok((Lines(Arc::clone(&shared)), Guard(shared)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::mpsc;

    use super::*;

    /// Writes that wait for leave, piece by piece.
    struct Gate {
        leave: mpsc::Receiver<()>,
        seen: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // A closed channel is leave for everything.
            let _ = self.leave.recv();
            self.seen.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (Gate, mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (sender, leave) = mpsc::channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        (Gate { leave, seen: Arc::clone(&seen) }, sender, seen)
    }

    #[test]
    fn nothing_is_lost_and_lines_stay_whole_with_many_threads() {
        let (gate, open, seen) = gate();
        drop(open);
        let (lines, guard) = start(gate).unwrap();
        thread::scope(|scope| {
            for thread in 0..4 {
                let lines = lines.clone();
                scope.spawn(move || {
                    for number in 0..1_000 {
                        lines.make_writer().write_all(format!("<{thread} {number}>\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        drop(guard);
        let text = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
        let seen: BTreeSet<&str> = text.lines().collect();
        let expected: Vec<_> = (0..4_000).map(|all| format!("<{} {}>", all / 1_000, all % 1_000)).collect();
        assert_eq!(text.lines().count(), 4_000);
        assert_eq!(seen, expected.iter().map(String::as_str).collect());
    }

    #[test]
    fn a_stuck_reader_holds_nobody_up_and_costs_only_small_lines() {
        let (gate, open, seen) = gate();
        let (lines, guard) = start(gate).unwrap();
        let small = [b"i".repeat(1023), b"\n".to_vec()].concat();
        // More than the buffer holds, twice, while nothing can be written.
        for _ in 0..3 * ROOM / small.len() {
            lines.0.put(&small, ROOM);
        }
        lines.0.put(b"error: it matters\n", 2 * ROOM);
        drop(open);
        drop(guard);
        let text = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
        assert!(text.contains("error: it matters\n"));
        assert!(text.contains("log lines were dropped"));
        assert!(text.len() < 3 * ROOM, "{}", text.len());
    }

    #[test]
    fn while_lines_gather_only_urgent_ones_wake_the_thread() {
        let big = vec![b'x'; ENOUGH];
        for (line, room, woken) in
            [(&b"small\n"[..], ROOM, false), (b"warning\n", 2 * ROOM, true), (&big, ROOM, true)]
        {
            let shared = Shared::default();
            shared.lock().thread = Thread::Gathering;
            shared.put(line, room);
            let state = shared.lock();
            assert_eq!((state.urgent, state.thread == Thread::Busy), (woken, woken), "{} bytes", line.len());
        }
    }

    #[test]
    fn lines_that_a_full_disk_refuses_are_counted_and_told() {
        struct Disk {
            free: usize,
            written: Vec<u8>,
        }
        impl Write for Disk {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.free == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let length = bytes.len().min(self.free);
                self.free -= length;
                self.written.extend_from_slice(&bytes[..length]);
                Ok(length)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        static FULL: AtomicBool = AtomicBool::new(false);
        let (mut disk, mut lost) = (Disk { free: 6, written: Vec::new() }, Lost::new(&FULL));
        lost.write(&mut disk, b"one\n");
        lost.write(&mut disk, b"two\nthree\n");
        assert!(FULL.load(Ordering::Relaxed));
        lost.write(&mut disk, b"four\n");
        disk.free = 1_000;
        lost.write(&mut disk, b"five\n");
        assert!(!FULL.load(Ordering::Relaxed));
        let written = String::from_utf8(disk.written).unwrap();
        let told = written.strip_prefix("one\ntw\nnorman-aks: 3 log lines could not be written: ").unwrap();
        assert!(told.ends_with("\nfive\n") && told.lines().count() == 2, "{written}");
    }

    #[test]
    fn a_single_line_is_written_at_once() {
        let (gate, open, seen) = gate();
        drop(open);
        let (lines, guard) = start(gate).unwrap();
        lines.0.put(b"one\n", ROOM);
        guard.flush();
        assert_eq!(*seen.lock().unwrap(), b"one\n");
        lines.0.put(b"two\n", ROOM);
        guard.flush();
        assert_eq!(*seen.lock().unwrap(), b"one\ntwo\n");
    }
}
