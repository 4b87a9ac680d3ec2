//! The real executable as a running server: started, read along, signalled, and ended with the test.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

/// Longer than anything takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// A command line of the executable in a folder, with nothing of this process's environment.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_norman-aks"));
    command.args(arguments).env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs a command to its end; what it prints, when it succeeds.
pub(crate) fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = command(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", all_of(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Both outputs of a command that ended.
pub(crate) fn all_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running server. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    said: Arc<Mutex<String>>,
    logged: Arc<Mutex<String>>,
    /// `http://127.0.0.1:port`
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

/// What a server answered.
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
    /// Starts `norman-aks` with these arguments and waits until it says where it listens.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::spawn(&mut command(folder, arguments))
    }

    /// The same with a command that has been prepared.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = follow(child.stdout.take().unwrap());
        let logged = follow(child.stderr.take().unwrap());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut server = Self { child, said, logged, url: String::new(), http };
        let url = server.wait_for("where it listens", |server| {
            // The last of the lines: those to paste and to read are there then.
            let said = server.said();
            let last = if said.contains("with a simulated Azure") { "Data directory:" } else { "/docs/" };
            let (_, address) = said.split_once("listens on ").filter(|_| said.contains(last))?;
            Some(address.split([' ', ';', '\n']).next()?.to_owned())
        });
        server.url = url;
        server
    }

    /// Everything on standard output so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Everything on standard error so far.
    pub(crate) fn logged(&self) -> String {
        self.logged.lock().unwrap().clone()
    }

    /// The address of a listener, from the JSON log.
    pub(crate) fn listener(&mut self, what: &str) -> String {
        let message = format!("listening: {what}");
        self.wait_for(&message, |server| {
            let line = log_lines(&server.logged()).into_iter().find(|line| line["message"] == *message)?;
            Some(line["address"].as_str()?.to_owned())
        })
    }

    /// Waits until something is there; a server that ends meanwhile fails the test.
    pub(crate) fn wait_for<T>(&mut self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            let text = || format!("{what}: {ended:?}\n{}\n{}", self.said(), self.logged());
            assert!(ended.is_none() && started.elapsed() < PATIENCE, "{}", text());
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

    /// How the server ends, and everything that it logged until then.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < PATIENCE, "still running\n{}", self.logged());
            thread::sleep(Duration::from_millis(20));
        };
        // The threads that read along see the end a moment later.
        while Arc::strong_count(&self.logged) > 1 && started.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
        (status, self.logged())
    }

    /// Stops the server as its supervisor would; it must end well.
    pub(crate) fn stop(self) -> String {
        self.signal("TERM");
        let (status, logged) = self.end();
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

/// Every line of a log, which must be JSON.
pub(crate) fn log_lines(logged: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    logged.lines().map(read).collect()
}

/// Sends a request and reads the answer.
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

/// Reads along until the end.
fn follow(output: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let kept = Arc::new(Mutex::new(String::new()));
    let keeper = Arc::clone(&kept);
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            keeper.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    kept
}
