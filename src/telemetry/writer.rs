//! A log writer that never blocks the threads that log: lines are appended to a buffer, which one thread writes in
//! batches.
//!
//! If standard error is read too slowly and the buffer is full, new lines are dropped and counted. For warnings and errors, the
//! capacity is twice as large as for other lines.

use std::convert::Infallible;
use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The capacity of the buffer for lines below `WARN`, in bytes.
const CAPACITY: usize = 4 << 20;
/// The capacity of the same buffer for warnings and errors, in bytes.
const URGENT_CAPACITY: usize = 2 * CAPACITY;
/// The interval between two batches. Waking the thread for each line would take longer than writing the line.
const BATCH_INTERVAL: Duration = Duration::from_millis(20);
/// The size at which a batch is written without waiting for the interval, in bytes.
const URGENT_BATCH_SIZE: usize = CAPACITY / 4;
/// The timeout of [`Guard::flush`].
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The lines that are not written yet.
#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    /// The number of lines that did not fit.
    dropped: u64,
    /// Senders of [`Guard::flush`], which returns when its sender is dropped: after the lines are written.
    flushes: Vec<mpsc::Sender<Infallible>>,
    /// Whether the thread must write the lines without waiting for the interval.
    is_urgent: bool,
    /// Whether the thread waits for the first line.
    is_idle: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0 && self.flushes.is_empty()
    }
}

#[derive(Default)]
struct Buffer {
    pending: Mutex<Pending>,
    wake: Condvar,
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8], capacity: usize) {
        let mut pending = self.lock();
        if pending.lines.len() + line.len() > capacity {
            pending.dropped += 1;
            return;
        }
        pending.lines.extend_from_slice(line);
        // The process may exit soon after a warning or an error.
        let is_urgent = capacity == URGENT_CAPACITY || pending.lines.len() >= URGENT_BATCH_SIZE;
        self.wake_up(pending, is_urgent);
    }

    /// Wakes the thread if it is idle or must not wait any longer.
    fn wake_up(&self, mut pending: MutexGuard<'_, Pending>, is_urgent: bool) {
        let was_idle = mem::take(&mut pending.is_idle);
        let becomes_urgent = is_urgent && !pending.is_urgent;
        pending.is_urgent |= is_urgent;
        if was_idle || becomes_urgent {
            self.wake.notify_one();
        }
    }

    /// Writes batches until the process exits.
    fn write_batches(&self, out: impl Write) {
        let mut output = Output::new(out, &DISK_FULL);
        let mut buffer = Vec::new();
        loop {
            let batch = self.take_batch(buffer);
            output.write(&batch.lines);
            if batch.dropped > 0 {
                count_lost("slow", batch.dropped);
                let dropped = batch.dropped;
                let line = format!(
                    "norman-aks: {dropped} log lines were dropped, because standard error is read too slowly\n"
                );
                output.write(line.as_bytes());
            }
            output.flush();
            drop(batch.flushes);
            buffer = batch.lines;
            buffer.clear();
            // Frees the memory of an exceptionally large batch.
            buffer.shrink_to(CAPACITY / 16);
            // Waits after the batch, not before it, so that a single line is written immediately.
            drop(self.wake.wait_timeout_while(self.lock(), BATCH_INTERVAL, |pending| !pending.is_urgent));
        }
    }

    /// Waits for something to write, and takes it. New lines are appended to the empty `buffer`.
    fn take_batch(&self, buffer: Vec<u8>) -> Pending {
        let mut pending = self.lock();
        pending.is_idle = true;
        let pending = self.wake.wait_while(pending, |pending| pending.is_empty());
        let mut pending = pending.unwrap_or_else(PoisonError::into_inner);
        mem::replace(&mut *pending, Pending { lines: buffer, ..Pending::default() })
    }
}

/// Whether the last write failed because the disk is full.
static DISK_FULL: AtomicBool = AtomicBool::new(false);

/// Whether the log cannot be written because its disk is full.
pub fn is_disk_full() -> bool {
    DISK_FULL.load(Ordering::Relaxed)
}

/// Standard error, and the number of lines that could not be written, which the next successful write reports.
struct Output<W> {
    out: W,
    lost: u64,
    last_error: String,
    disk_full: &'static AtomicBool,
}

impl<W: Write> Output<W> {
    fn new(out: W, disk_full: &'static AtomicBool) -> Self {
        Self { out, lost: 0, last_error: String::new(), disk_full }
    }

    /// Writes lines. A failure is counted and reported later; it does not stop the server.
    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let Err(error) = self.report_lost().and_then(|()| self.out.write_all(lines)) else {
            return self.disk_full.store(false, Ordering::Relaxed);
        };
        let lost = lines.split_inclusive(|byte| *byte == b'\n').count() as u64;
        self.lost += lost;
        self.last_error = error.to_string();
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        self.disk_full.store(is_full, Ordering::Relaxed);
        if is_full {
            metrics::counter!("norman_aks_disk_full_errors_total", "of" => "log").increment(1);
        }
        count_lost(if is_full { "full" } else { "error" }, lost);
    }

    /// Reports lost lines. The report starts with a line break, because the last line may be incomplete.
    fn report_lost(&mut self) -> io::Result<()> {
        if self.lost > 0 {
            let (lost, last_error) = (self.lost, &self.last_error);
            write!(self.out, "\nnorman-aks: {lost} log lines could not be written: {last_error}\n")?;
            self.lost = 0;
        }
        Ok(())
    }

    fn flush(&mut self) {
        let _ = self.out.flush();
    }
}

fn count_lost(reason: &'static str, lines: u64) {
    metrics::counter!("norman_aks_log_lines_lost_total", "reason" => reason).increment(lines);
}

/// Creates a [`LineWriter`] for each event.
#[derive(Clone)]
pub(super) struct MakeLineWriter(Arc<Buffer>);

/// Appends lines to the buffer. Each call of `write` receives one complete line.
pub(super) struct LineWriter<'a> {
    buffer: &'a Buffer,
    capacity: usize,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.buffer.push(line, self.capacity);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for MakeLineWriter {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { buffer: &self.0, capacity: URGENT_CAPACITY }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter<'a> {
        let capacity = if *metadata.level() <= Level::WARN { URGENT_CAPACITY } else { CAPACITY };
        LineWriter { buffer: &self.0, capacity }
    }
}

/// Flushes the log when dropped. Keep it until the end of `main`.
#[must_use]
pub struct Guard(Arc<Buffer>);

impl Guard {
    /// Waits until all lines that were logged are written, for at most 5 s.
    pub fn flush(&self) {
        let (sender, receiver) = mpsc::channel();
        let mut pending = self.0.lock();
        pending.flushes.push(sender);
        self.0.wake_up(pending, true);
        // Returns when the thread drops the sender.
        let _ = receiver.recv_timeout(FLUSH_TIMEOUT);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Starts the thread that writes to `out`.
pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(MakeLineWriter, Guard)> {
    let buffer = Arc::new(Buffer::default());
    let thread_buffer = Arc::clone(&buffer);
    thread::Builder::new().name("log".to_owned()).spawn(move || thread_buffer.write_batches(out))?;
    Ok((MakeLineWriter(Arc::clone(&buffer)), Guard(buffer)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A writer that waits for a permit before each write.
    struct Gate {
        permits: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // A closed channel permits everything.
            let _ = self.permits.recv();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A log that writes to a gate, which opens when the sender is dropped, and a function that returns the written text.
    fn start_on_gate() -> (MakeLineWriter, Guard, mpsc::Sender<()>, impl Fn() -> String) {
        let (open, permits) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (lines, guard) = start(Gate { permits, written: Arc::clone(&written) }).unwrap();
        (lines, guard, open, move || String::from_utf8(written.lock().unwrap().clone()).unwrap())
    }

    #[test]
    fn concurrent_lines_are_complete_and_none_is_lost() {
        let (lines, guard, open, written) = start_on_gate();
        drop(open);
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
        let text = written();
        let expected: Vec<_> =
            (0..4_000).map(|index| format!("<{} {}>", index / 1_000, index % 1_000)).collect();
        assert_eq!(text.lines().count(), 4_000);
        assert_eq!(text.lines().collect::<BTreeSet<_>>(), expected.iter().map(String::as_str).collect());
    }

    #[test]
    fn slow_reader_loses_only_lines_below_warn() {
        let (lines, guard, open, written) = start_on_gate();
        let small = [b"i".repeat(1023), b"\n".to_vec()].concat();
        // Three times the capacity, while nothing can be written.
        for _ in 0..3 * CAPACITY / small.len() {
            lines.0.push(&small, CAPACITY);
        }
        lines.0.push(b"error: it matters\n", URGENT_CAPACITY);
        drop(open);
        drop(guard);
        let text = written();
        assert!(text.contains("error: it matters\n"));
        assert!(text.contains("log lines were dropped"));
        assert!(text.len() < 3 * CAPACITY, "{}", text.len());
    }

    #[test]
    fn only_warnings_and_large_batches_are_urgent() {
        let big = vec![b'x'; URGENT_BATCH_SIZE];
        for (line, capacity, is_urgent) in [
            (&b"small\n"[..], CAPACITY, false),
            (b"warning\n", URGENT_CAPACITY, true),
            (&big, CAPACITY, true),
        ] {
            let buffer = Buffer::default();
            buffer.push(line, capacity);
            assert_eq!(buffer.lock().is_urgent, is_urgent, "{} bytes", line.len());
        }
    }

    #[test]
    fn lines_lost_to_a_full_disk_are_reported() {
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
        static DISK_FULL: AtomicBool = AtomicBool::new(false);
        let mut output = Output::new(Disk { free: 6, written: Vec::new() }, &DISK_FULL);
        output.write(b"one\n");
        output.write(b"two\nthree\n");
        assert!(DISK_FULL.load(Ordering::Relaxed));
        output.write(b"four\n");
        output.out.free = 1_000;
        output.write(b"five\n");
        assert!(!DISK_FULL.load(Ordering::Relaxed));
        let written = String::from_utf8(output.out.written).unwrap();
        let report = written.strip_prefix("one\ntw\nnorman-aks: 3 log lines could not be written: ").unwrap();
        assert!(report.ends_with("\nfive\n") && report.lines().count() == 2, "{written}");
    }

    #[test]
    fn flush_waits_until_lines_are_written() {
        let (lines, guard, open, written) = start_on_gate();
        drop(open);
        lines.0.push(b"one\n", CAPACITY);
        guard.flush();
        assert_eq!(written(), "one\n");
        lines.0.push(b"two\n", CAPACITY);
        guard.flush();
        assert_eq!(written(), "one\ntwo\n");
    }
}
