//! Two servers on one SQLite file: the second waits for the first, and commands go on beside a running server.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::program::{Server, all_of, command, printed};

const SERVE: [&str; 4] = ["serve", "--listen=127.0.0.1:0", "--data-dir=data", "--log-format=json"];

/// A server of which only the log is read.
struct Waiting {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Waiting {
    fn start(folder: &Path) -> Self {
        let mut child = command(folder, &SERVE).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// The first line of the log that has these words; the test fails when the log ends before.
    fn line_with(&mut self, words: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "no line with {words:?}:\n{seen}");
            if line.contains(words) {
                return line;
            }
            seen.push_str(&line);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn second_server_waits_until_the_first_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::start(folder.path(), &SERVE);
    let mut second = Waiting::start(folder.path());
    let line = second.line_with("database in use by another server");
    assert!(line.contains(&format!("process {},", first.id())), "{line}");
    assert!(second.child.try_wait().unwrap().is_none(), "it waits");
    first.signal("KILL");
    second.line_with("listening: the API");
}

#[test]
fn commands_work_beside_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &SERVE);
    let made = printed(folder.path(), &["token", "create", "--user=ann", "--data-dir=data"]);
    assert!(made.starts_with("token-"), "{made}");
    assert!(printed(folder.path(), &["token", "list", "--data-dir=data"]).contains("ann"));
    let rotated = printed(folder.path(), &["key", "rotate", "--data-dir=data"]);
    assert!(rotated.contains("sealed with"), "{rotated}");
    let checked = command(folder.path(), &["check", "--data-dir=data"]).output().unwrap();
    assert!(all_of(&checked).contains("ok      database: reachable"), "{}", all_of(&checked));
    server.stop();
    assert!(folder.path().join("data/norman-aks.db.lock").exists(), "removing it would let two servers in");
    Server::start(folder.path(), &SERVE).stop();
}

#[test]
fn wrong_key_of_the_right_name_stops_start_and_commands() {
    let folder = tempfile::tempdir().unwrap();
    Server::start(folder.path(), &SERVE).stop();
    let file = folder.path().join("data/encryption.keys");
    let (right, other) = (fs::read_to_string(&file).unwrap(), printed(folder.path(), &["key", "generate"]));
    let name = right.split_once(':').unwrap().0;
    fs::write(&file, format!("{name}:{}", other.split_once(':').unwrap().1)).unwrap();
    for arguments in [&SERVE[..], &["key", "rotate", "--data-dir=data"], &["check", "--data-dir=data"]] {
        let output = command(folder.path(), arguments).output().unwrap();
        let text = all_of(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("the encryption key {name} in the key file")), "{text}");
        assert!(text.contains("put back its line"), "{text}");
    }
    fs::write(&file, right).unwrap();
    Server::start(folder.path(), &SERVE).stop();
}

#[test]
fn sqlite_manifests_end_the_old_pod_before_the_new_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes-sqlite");
    let read = |name: &str| -> serde_json::Value {
        serde_saphyr::from_str(&fs::read_to_string(root.join(name)).unwrap()).unwrap()
    };
    let deployment = read("deployment.yaml");
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    assert_eq!(read("volume.yaml")["spec"]["accessModes"], serde_json::json!(["ReadWriteOncePod"]));
}
