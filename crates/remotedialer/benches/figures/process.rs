//! Child processes and their resource usage on Linux.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};

use crate::Outcome;

/// A child in one of the roles. It is killed when this value is dropped.
pub(crate) struct Child {
    process: std::process::Child,
    output: RefCell<BufReader<ChildStdout>>,
    /// The first line that the child printed: the address for callers, or `connected` for a client.
    pub(crate) address: String,
}

impl Child {
    /// Starts a child and waits for its first line.
    pub(crate) fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut process =
            Command::new(std::env::current_exe()?).args(arguments).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or("the child has no output")?;
        let mut child =
            Self { process, output: RefCell::new(BufReader::new(output)), address: String::new() };
        child.address = child.read_line()?;
        Ok(child)
    }

    /// The next line that the child prints.
    pub(crate) fn read_line(&self) -> Outcome<String> {
        let mut line = String::new();
        self.output.borrow_mut().read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn read_proc_file(&self, name: &str) -> Outcome<String> {
        Ok(std::fs::read_to_string(format!("/proc/{}/{name}", self.process.id()))?)
    }

    /// CPU seconds so far, with the resolution of the kernel's counters, 10 ms.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = self.read_proc_file("stat")?;
        let (_, fields) = stat.rsplit_once(')').ok_or("unexpected format of stat")?;
        // `utime` and `stime`, which are fields 14 and 15 of the file.
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        Ok(f64::from(ticks.sum::<Result<u32, _>>()?) / 100.0)
    }

    fn memory_mb(&self, name: &str) -> Outcome<f64> {
        let status = self.read_proc_file("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such value")?;
        let kilobytes: u32 = line.split_whitespace().nth(1).ok_or("no such value")?.parse()?;
        Ok(f64::from(kilobytes) / 1024.0)
    }

    /// Resident memory in MB.
    pub(crate) fn resident_mb(&self) -> Outcome<f64> {
        self.memory_mb("VmRSS")
    }

    /// Peak of resident memory in MB since [`Child::reset_peak`].
    pub(crate) fn peak_mb(&self) -> Outcome<f64> {
        self.memory_mb("VmHWM")
    }

    /// Resets the peak to the resident memory, which is returned in MB.
    pub(crate) fn reset_peak(&self) -> Outcome<f64> {
        std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5")?;
        self.resident_mb()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The child may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
