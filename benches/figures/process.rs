//! Child processes, with their CPU time and memory from `/proc`, which are `None` on systems other than Linux.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::error::Result;

/// The path of the built program.
const NORMAN_AKS: &str = env!("CARGO_BIN_EXE_norman-aks");

/// The unit of CPU times under `/proc`: a hundredth of a second on every Linux that Rust runs on.
const TICK_MS: f64 = 10.0;

/// A child that is killed when dropped. Its log goes to a file, because logging is part of the cost in production.
pub(crate) struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this program as a child, with `log` for its standard error.
    pub(crate) fn start_self(arguments: &[&str], log: &Path) -> Result<Self> {
        Self::start(&std::env::current_exe()?, arguments, log)
    }

    /// Starts `norman-aks` with a new data directory; `name` names the directory and its log.
    pub(crate) fn start_norman_aks(
        command: &str,
        directory: &Path,
        name: &str,
        flags: &[&str],
    ) -> Result<Self> {
        let data = format!("--data-dir={}", directory.join(name).display());
        let arguments = [&[command, &data], flags].concat();
        Self::start(Path::new(NORMAN_AKS), &arguments, &directory.join(format!("{name}.log")))
    }

    /// Starts `norman-aks serve`, for measurements without Azure, and returns its address.
    pub(crate) fn serve(directory: &Path, name: &str) -> Result<(Self, SocketAddr)> {
        let mut process = Self::start_norman_aks("serve", directory, name, &["--listen=127.0.0.1:0"])?;
        let address = process.word_after("listens on http://")?.parse()?;
        Ok((process, address))
    }

    fn start(program: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        // Standard input is closed when this process exits, which ends `wait_for_parent` in the child.
        command.args(arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(fs::File::create(log)?).spawn()?;
        let output = child.stdout.take().ok_or("child without output")?;
        Ok(Self { child, output: BufReader::new(output) })
    }

    /// Reads the next line of the child's output.
    pub(crate) fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err("a process exited before it was ready".into()),
            _ => Ok(line),
        }
    }

    /// Reads up to the first line that contains `words`, and returns the word after them.
    pub(crate) fn word_after(&mut self, words: &str) -> Result<String> {
        loop {
            if let Some((_, rest)) = self.read_line()?.split_once(words) {
                return Ok(rest.split([' ', ';', '/', '\n']).next().unwrap_or_default().to_owned());
            }
        }
    }

    /// CPU time so far, user and system, of all threads.
    pub(crate) fn cpu_ms(&self) -> Option<f64> {
        let stat = fs::read_to_string(self.proc_path("stat")).ok()?;
        // utime and stime are fields 14 and 15; field 2 is the program's name in parentheses, which may contain spaces.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
        Some(ticks * TICK_MS)
    }

    /// Resident memory.
    pub(crate) fn resident_mb(&self) -> Option<f64> {
        self.status_mb("VmRSS:")
    }

    /// Peak resident memory since [`Process::reset_peak`].
    pub(crate) fn peak_mb(&self) -> Option<f64> {
        self.status_mb("VmHWM:")
    }

    /// Resets `VmHWM` to the resident memory.
    pub(crate) fn reset_peak(&self) -> Option<()> {
        fs::write(self.proc_path("clear_refs"), "5").ok()
    }

    fn status_mb(&self, name: &str) -> Option<f64> {
        let status = fs::read_to_string(self.proc_path("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
    }

    fn proc_path(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits, in a child, until the parent exits and so closes standard input.
pub(crate) async fn wait_for_parent() -> Result<()> {
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}
