//! Child processes, and what Linux tells of them under `/proc`. Elsewhere those figures are `None`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::Outcome;

/// The built program.
pub(crate) const NORMAN_AKS: &str = env!("CARGO_BIN_EXE_norman-aks");

/// The unit of CPU times under `/proc`: a hundredth of a second on every Linux that Rust runs on.
const TICK_MS: f64 = 10.0;

/// A child that ends with its owner. Its log goes into a file, for that costs what it costs in operation.
pub(crate) struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts `program` without the settings of this shell; `log` takes its standard error.
    pub(crate) fn start(program: &Path, arguments: &[&str], log: &Path) -> Outcome<Self> {
        let mut command = Command::new(program);
        // Standard input stays open as long as this process lives: the server under test ends with it.
        command.args(arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(fs::File::create(log)?).spawn()?;
        let output = child.stdout.take().ok_or("a child without an output")?;
        Ok(Self { child, output: BufReader::new(output) })
    }

    /// The next line that it prints; an error when it ended instead.
    pub(crate) fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err("a process ended before it was ready".into()),
            _ => Ok(line),
        }
    }

    /// What follows `words` in the first line that has them, up to a blank.
    pub(crate) fn word_after(&mut self, words: &str) -> Outcome<String> {
        loop {
            if let Some((_, rest)) = self.line()?.split_once(words) {
                return Ok(rest.split([' ', ';', '/', '\n']).next().unwrap_or_default().to_owned());
            }
        }
    }

    /// CPU time so far, user and system, of all its threads.
    pub(crate) fn cpu_ms(&self) -> Option<f64> {
        let stat = fs::read_to_string(self.proc("stat")).ok()?;
        // The name of the program stands in parentheses and may hold blanks.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
        Some(ticks * TICK_MS)
    }

    /// Its memory in RAM now.
    pub(crate) fn resident_mb(&self) -> Option<f64> {
        self.status("VmRSS:")
    }

    /// The most memory in RAM since [`Process::forget_peak`].
    pub(crate) fn peak_mb(&self) -> Option<f64> {
        self.status("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) -> Option<()> {
        fs::write(self.proc("clear_refs"), "5").ok()
    }

    fn status(&self, name: &str) -> Option<f64> {
        let status = fs::read_to_string(self.proc("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and there is nobody left to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
