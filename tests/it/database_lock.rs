//! Two servers on one SQLite file: the second waits for the first, and commands work while a server runs. A key file that does
//! not match the database is rejected.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::program::{Server, command, output_text, stdout_of};

const SERVE: [&str; 4] = ["serve", "--listen=127.0.0.1:0", "--data-dir=data", "--log-format=json"];

/// A server process whose log is read line by line.
struct LoggedServer {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl LoggedServer {
    fn start(directory: &Path) -> Self {
        let mut child =
            command(directory, &SERVE).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// Reads the log up to the next line that contains `text`, and returns that line; panics if the log ends first.
    fn wait_for_line(&mut self, text: &str) -> String {
        let mut log_before = String::new();
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "no line with {text:?}:\n{log_before}");
            if line.contains(text) {
                return line;
            }
            log_before.push_str(&line);
        }
    }
}

impl Drop for LoggedServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn second_server_waits_for_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let first = Server::start(directory.path(), &SERVE);
    let mut second = LoggedServer::start(directory.path());
    let line = second.wait_for_line("database in use by another server");
    assert!(line.contains(&format!("process {},", first.id())), "{line}");
    assert!(second.child.try_wait().unwrap().is_none(), "the second server waits");
    first.signal("KILL");
    second.wait_for_line("listening: the API");
}

#[test]
fn commands_work_while_a_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &SERVE);
    let created = stdout_of(directory.path(), &["token", "create", "--user=ann", "--data-dir=data"]);
    assert!(created.starts_with("token-"), "{created}");
    assert!(stdout_of(directory.path(), &["token", "list", "--data-dir=data"]).contains("ann"));
    let rotated = stdout_of(directory.path(), &["key", "rotate", "--data-dir=data"]);
    assert!(rotated.starts_with("re-encrypted"), "{rotated}");
    let check = command(directory.path(), &["check", "--data-dir=data"]).output().unwrap();
    assert!(output_text(&check).contains("ok      database: reachable"), "{}", output_text(&check));
    server.stop();
    assert!(
        directory.path().join("data/norman-aks.db.lock").exists(),
        "a server keeps the lock file when it stops, because the next one may have locked it"
    );
    Server::start(directory.path(), &SERVE).stop();
}

#[test]
fn mismatched_key_fails_start_and_commands() {
    let directory = tempfile::tempdir().unwrap();
    Server::start(directory.path(), &SERVE).stop();
    let key_file = directory.path().join("data/encryption.keys");
    let (original_keys, other_keys) =
        (fs::read_to_string(&key_file).unwrap(), stdout_of(directory.path(), &["key", "generate"]));
    let key_id = original_keys.split_once(':').unwrap().0;
    fs::write(&key_file, format!("{key_id}:{}", other_keys.split_once(':').unwrap().1)).unwrap();
    for arguments in [&SERVE[..], &["key", "rotate", "--data-dir=data"], &["check", "--data-dir=data"]] {
        let output = command(directory.path(), arguments).output().unwrap();
        let text = output_text(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("the encryption key {key_id} in the key file")), "{text}");
        assert!(text.contains("restore its line"), "{text}");
    }
    fs::write(&key_file, original_keys).unwrap();
    Server::start(directory.path(), &SERVE).stop();
}
