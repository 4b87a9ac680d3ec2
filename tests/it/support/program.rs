//! The real executable: one-shot commands ([`stdout_of`], [`command`]) and running servers ([`Server`]), which are killed
//! at the end of the test.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

/// Longer than any step takes on a machine that is busy with other tests.
const STEP_TIMEOUT: Duration = Duration::from_mins(1);

/// A command in a directory, without environment variables.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_norman-aks"));
    command.args(arguments).env_clear().current_dir(directory).stdin(Stdio::null());
    command
}

/// The standard output of a command that succeeds.
pub(crate) fn stdout_of(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", output_text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard output and standard error of a command.
pub(crate) fn output_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running server. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    /// `http://127.0.0.1:port`
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

/// A response of the server.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Server {
    /// Starts `norman-aks` and waits until it prints its address.
    pub(crate) fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::spawn(&mut command(directory, arguments))
    }

    /// Starts a prepared command and waits until it prints the server's address.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut server = Self { child, stdout, stderr, url: String::new(), http };
        let url = server.wait_for("the address", |server| {
            // A part of the last line that the server prints at startup.
            let stdout = server.stdout();
            let last_line =
                if stdout.contains("with a simulated Azure") { "Data directory:" } else { "/docs/" };
            let (_, address) = stdout.split_once("listens on ").filter(|_| stdout.contains(last_line))?;
            Some(address.split([' ', ';', '\n']).next()?.to_owned())
        });
        server.url = url;
        server
    }

    /// Standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// Standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The address of a listener, from the JSON log.
    pub(crate) fn listener_address(&mut self, what: &str) -> String {
        let message = format!("listening: {what}");
        self.wait_for(&message, |server| {
            let line = log_lines(&server.stderr()).into_iter().find(|line| line["message"] == *message)?;
            Some(line["address"].as_str()?.to_owned())
        })
    }

    /// Waits until `find` returns a value; fails if the server ends.
    pub(crate) fn wait_for<T>(&mut self, what: &str, find: impl Fn(&Self) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = find(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            let details = || format!("{what}: {ended:?}\n{}\n{}", self.stdout(), self.stderr());
            assert!(ended.is_none() && started.elapsed() < STEP_TIMEOUT, "{}", details());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Sends a signal: `TERM`, `HUP`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("/bin/sh").args(["-c", "kill -\"$1\" \"$2\"", "sh", name, &self.id()]).status();
        assert!(sent.unwrap().success(), "{name}");
    }

    /// Waits until the server ends; returns its status and standard error.
    pub(crate) fn wait_for_exit(mut self) -> (ExitStatus, String) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < STEP_TIMEOUT, "still running\n{}", self.stderr());
            thread::sleep(Duration::from_millis(20));
        };
        // Wait for the thread that reads standard error.
        while Arc::strong_count(&self.stderr) > 1 && started.elapsed() < STEP_TIMEOUT {
            thread::sleep(Duration::from_millis(10));
        }
        (status, self.stderr())
    }

    /// Stops the server with SIGTERM, which must succeed; returns standard error.
    pub(crate) fn stop(self) -> String {
        self.signal("TERM");
        let (status, logged) = self.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{logged}");
        logged
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Reply {
        self.send(Method::GET, path, token, None).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, token, Some(body)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, token: &str, body: Option<&Value>) -> Reply {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(token);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        reply(request).await
    }
}

/// The lines of a JSON log.
pub(crate) fn log_lines(logged: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    logged.lines().map(read).collect()
}

/// The `sandbox.json` in a data directory, which the sandbox writes for scripts.
pub(crate) fn sandbox_file(data_dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(data_dir.join("sandbox.json")).unwrap()).unwrap()
}

/// Sends a request; returns the response.
pub(crate) async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, text: response.text().await.unwrap() }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Collects an output until its end, in a thread.
fn collect(output: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let collected = Arc::new(Mutex::new(String::new()));
    let text = Arc::clone(&collected);
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            text.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    collected
}
