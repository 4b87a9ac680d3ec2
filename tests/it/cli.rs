//! The real executable: output and exit codes of its commands.

mod agent;
mod catalog;
mod check;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::program::command;

/// The executable in its own directory, without environment variables.
struct Program {
    directory: TempDir,
}

/// A command that ended.
struct Finished {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Program {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, file: &str, content: &str) {
        fs::write(self.path().join(file), content).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        command(self.path(), arguments)
    }

    /// Runs a command with environment variables.
    fn run_with(&self, arguments: &[&str], env: &[(&str, &str)]) -> Finished {
        let output = self.command(arguments).envs(env.iter().copied()).output().unwrap();
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command that succeeds.
    fn succeeds(&self, arguments: &[&str]) -> Finished {
        let finished = self.run_with(arguments, &[]);
        assert_eq!(finished.code, Some(0), "{arguments:?}: {}{}", finished.stdout, finished.stderr);
        finished
    }

    /// The output of a command that succeeds without messages.
    fn prints(&self, arguments: &[&str]) -> String {
        let finished = self.succeeds(arguments);
        assert_eq!(finished.stderr, "", "{arguments:?}");
        finished.stdout
    }

    /// The message of a command that fails without output.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let finished = self.run_with(arguments, &[]);
        assert_eq!(finished.code, Some(code), "{arguments:?}: {}", finished.stderr);
        assert_eq!(finished.stdout, "", "{arguments:?}");
        finished.stderr
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let program = Program::new();
    assert_eq!(program.prints(&["--version"]), format!("norman-aks {}\n", env!("CARGO_PKG_VERSION")));
    let help = program.prints(&["--help"]);
    let commands = [
        "serve", "agent", "sandbox", "openapi", "token", "key", "audit", "migrate", "check", "sizes",
        "versions", "regions",
    ];
    for command in commands {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command}\n{help}");
    }
    assert!(!help.contains("healthcheck"), "{help}");
    // Joins the lines, which may break anywhere.
    let help = program.prints(&["serve", "--help"]);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["[default: 127.0.0.1:8080] [env: NORMAN_AKS_LISTEN]", "NORMAN_AKS_BOOTSTRAP_TOKEN ", "RUST_LOG"]
    {
        assert!(help.contains(part), "{part}\n{help}");
    }
}

#[test]
fn usage_errors_name_the_invalid_argument() {
    let program = Program::new();
    program.write("n.toml", "listne = 1");
    for (arguments, parts) in [
        (&["serve", "--listne", "x"][..], ["'--listne'", "'--listen'"]),
        (&["serv"], ["'serv'", "'serve'"]),
        (&[], ["Usage", "norman-aks"]),
        (&["token", "create"], ["--user", "required"]),
        (&["token", "create", "--user", "ann", "--ttl", "soon"], ["'soon'", "--ttl"]),
        (
            &["token", "create", "--user", "ann", "--admin", "--no-admin"],
            ["--no-admin", "cannot be used with"],
        ),
        (&["audit", "list", "--since", "soon"], ["'soon'", "write it as 2026-"]),
        (
            &["migrate", "--config", "n.toml"],
            ["n.toml has an unknown key \"listne\"", "; did you mean listen?"],
        ),
    ] {
        let error = program.fails(2, arguments);
        assert!(parts.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
    }
    assert_eq!(
        program.fails(2, &["serve", "--listen", "8080"]),
        "norman-aks: invalid settings\n  caused by: listen cannot be \"8080\" (flag --listen); it must be an \
         IP address and a port, for example 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080\n"
    );
    let finished = program.run_with(&["migrate"], &[("RUST_LOG", "a=loud")]);
    assert_eq!(finished.code, Some(2));
    assert!(finished.stderr.contains("RUST_LOG is not a list of directives"), "{}", finished.stderr);
}

#[test]
fn unknown_variables_cause_a_warning() {
    let program = Program::new();
    let env = [
        ("NORMAN_AKS_DATA_DIR", "elsewhere"),
        ("NORMAN_AKS_LISTNE", "x"),
        ("NORMAN_AKS_PORT", "tcp://10.0.0.1:80"),
    ];
    let finished = program.run_with(&["migrate"], &env);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(
        finished.stderr,
        "norman-aks: warning: unknown variable NORMAN_AKS_LISTNE is ignored; did you mean NORMAN_AKS_LISTEN?\n"
    );
    let directory = fs::metadata(program.path().join("elsewhere")).unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o700);
    assert!(program.path().join("elsewhere/norman-aks.db").exists());
}

#[test]
fn only_a_running_server_warns_about_backtraces() {
    let program = Program::new();
    program.write("file", "");
    for (arguments, code) in [
        (&["migrate"][..], 0),
        (&["token", "list"], 0),
        (&["check", "--sandbox"], 0),
        // A server warns only after it listens.
        (&["serve", "--data-dir", "file/below"], 1),
    ] {
        let finished = program.run_with(arguments, &[("RUST_BACKTRACE", "1")]);
        let output = finished.stdout + &finished.stderr;
        assert_eq!(finished.code, Some(code), "{arguments:?}: {output}");
        assert!(!output.contains("RUST_BACKTRACE"), "{arguments:?}: {output}");
    }
}

#[test]
fn tokens_are_created_listed_and_revoked() {
    const DATABASE: &str = "database ./norman-aks-data/norman-aks.db\n";
    let program = Program::new();
    let created =
        program.succeeds(&["token", "create", "--user=ann", "--ttl=30d", "--description", "for tests"]);
    assert_eq!(created.stderr, format!("norman-aks: the token is valid for servers of the new {DATABASE}"));
    let ann_token = created.stdout.trim_end();
    let (name, secret) = ann_token.split_once(':').unwrap();
    assert!(name.starts_with("token-") && secret.len() >= 40 && !secret.contains('\n'), "{ann_token}");
    let root = program.succeeds(&["token", "create", "--user", "root", "--admin"]);
    assert!(root.stderr.ends_with(&format!("servers of the {DATABASE}")), "{}", root.stderr);
    let root_name = root.stdout.split(':').next().unwrap().to_owned();

    let list = program.prints(&["token", "list"]);
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(!list.contains(secret), "{list}");
    let row = |name: &str| -> Vec<&str> {
        list.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect()
    };
    assert_eq!(row(name)[1..3], ["ann", "no"]);
    assert!(row(name).join(" ").ends_with("Z never for tests"), "{list}");
    assert_eq!(row(&root_name)[1..3], ["root", "yes"]);
    assert_eq!(row(&root_name)[4], "never");

    assert_eq!(program.prints(&["token", "revoke", name]), "");
    let error = program.fails(1, &["token", "revoke", ann_token]);
    assert!(error.contains(&format!("token \"{name}\" not found")) && !error.contains(secret), "{error}");
    assert_eq!(program.prints(&["token", "list"]).lines().count(), 2);
    let error = program.fails(1, &["token", "create", "--user", ""]);
    assert!(error.starts_with("norman-aks: "), "{error}");
}

#[test]
fn sandbox_databases_require_sandbox_flag() {
    let program = Program::new();
    program.succeeds(&["token", "create", "--user", "ann", "--sandbox", "--data-dir", "d"]);
    let error = program.fails(1, &["token", "list", "--data-dir", "d"]);
    for part in ["sandbox", "azure", "; add --sandbox, or name another database with --data-dir"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    program.succeeds(&["check", "--sandbox", "--data-dir", "d"]);
    program.succeeds(&["token", "create", "--user", "ann", "--data-dir", "e"]);
    let check = program.run_with(&["check", "--sandbox", "--data-dir", "e"], &[]).stdout;
    assert!(check.contains("this one is for sandbox; leave out --sandbox, or"), "{check}");
    assert_eq!(program.prints(&["token", "list", "--sandbox", "--data-dir", "d"]).lines().count(), 2);
    assert!(!program.path().join("norman-aks-data").exists());
}

#[test]
fn role_changes_are_reported() {
    const TOKEN_MESSAGE: &str =
        "norman-aks: the token is valid for servers of the database ./norman-aks-data/norman-aks.db\n";
    let program = Program::new();
    let create =
        |flags: &[&str]| program.succeeds(&[&["token", "create", "--user", "ann"], flags].concat()).stderr;
    let roles = || {
        let list = program.prints(&["token", "list"]);
        let rows = list.lines().skip(1).filter(|row| row.contains(" ann "));
        rows.map(|row| row.split_whitespace().nth(2).unwrap().to_owned()).collect::<Vec<_>>()
    };
    // One administrator must remain.
    program.succeeds(&["token", "create", "--user", "root", "--admin"]);
    create(&[]);
    let change =
        "norman-aks: ann is now an administrator, with all of its tokens; `--no-admin` reverts this\n";
    assert_eq!(create(&["--admin"]), format!("{change}{TOKEN_MESSAGE}"));
    assert_eq!(roles(), ["yes", "yes"]);
    assert_eq!(create(&["--admin"]), TOKEN_MESSAGE);
    assert_eq!(create(&[]), TOKEN_MESSAGE);
    let change = create(&["--no-admin"]);
    assert!(change.starts_with("norman-aks: ann is now an ordinary user"), "{change}");
    assert_eq!(roles(), ["no"; 5]);
}

#[test]
fn commands_create_no_empty_database_next_to_a_sandbox() {
    let program = Program::new();
    let created = program.succeeds(&["token", "create", "--user", "ann", "--sandbox"]);
    assert!(!created.stderr.contains("--sandbox"), "{}", created.stderr);
    program.prints(&["key", "generate", "--append", "keys"]);
    for arguments in [
        &["token", "list"][..],
        &["token", "revoke", "token-abcde:secret"],
        &["key", "rotate", "--encryption-key-file", "keys"],
        &["audit", "list"],
    ] {
        assert_eq!(
            program.fails(1, arguments),
            "norman-aks: database ./norman-aks-data/norman-aks.db not found; add --sandbox for the sandbox's database, \
             or name another one with --data-dir\n"
        );
        assert!(!program.path().join("norman-aks-data").exists(), "{arguments:?}");
    }
    let error = program.fails(1, &["token", "list", "--sandbox", "--data-dir", "d"]);
    assert!(error.ends_with("d/norman-aks.db not found; name another one with --data-dir\n"), "{error}");

    // A token may be created before the first start of the server.
    assert_eq!(
        program.succeeds(&["token", "create", "--user", "ann"]).stderr,
        "norman-aks: the token is valid for servers of the new database ./norman-aks-data/norman-aks.db; for the \
         sandbox of ./norman-aks-sandbox-data create it with --sandbox\n"
    );
    let message = program.succeeds(&["token", "create", "--user", "ann"]).stderr;
    assert!(!message.contains("sandbox"), "{message}");
}

#[test]
fn migrate_is_idempotent() {
    let program = Program::new();
    assert!(program.prints(&["migrate"]).starts_with("Applied: 0001_"));
    assert_eq!(program.prints(&["migrate"]), "The database schema is up to date.\n");
}

#[test]
fn unavailable_database_is_named_with_its_cause() {
    let program = Program::new();
    program.write("file", "");
    let error = program.fails(1, &["migrate", "--data-dir", "file/below"]);
    assert!(error.contains("file/below") && error.contains("caused by: Not a directory"), "{error}");
    let url = "--database-url=postgres://u:canary@127.0.0.1:1/d";
    let error = program.fails(1, &["migrate", "--database-wait-seconds=1", url]);
    assert!(error.contains("the database is not available") && error.contains("caused by"), "{error}");
    assert!(!error.contains("canary") && !error.contains("Os {"), "{error}");
}

#[test]
fn generated_keys_are_printed_or_inserted_as_first_line() {
    let program = Program::new();
    let line = program.prints(&["key", "generate"]);
    let (id, key) = line.trim_end().split_once(':').unwrap();
    assert!(!id.is_empty() && key.len() == 44, "{line}");
    assert_ne!(line, program.prints(&["key", "generate"]));

    let append = || {
        let message = program.prints(&["key", "generate", "--append", "keys"]);
        (message, fs::read_to_string(program.path().join("keys")).unwrap())
    };
    let (message, first) = append();
    let (id, key) = first.trim_end().split_once(':').unwrap();
    assert!(message.starts_with(id) && !message.contains(key), "{message}");
    let (_, both) = append();
    assert!(both.ends_with(&first) && both.lines().count() == 2, "the old line is the last one");

    program.prints(&["migrate"]);
    let rotated = program.prints(&["key", "rotate", "--encryption-key-file", "keys"]);
    let active = both.split(':').next().unwrap();
    assert_eq!(rotated, format!("re-encrypted 0 secrets with {active}\n"));
    let error = program.fails(1, &["key", "rotate"]);
    assert!(error.contains("norman-aks-data/encryption.keys") && error.contains("key generate"), "{error}");
    program.write("bad", "no key");
    let error = program.fails(1, &["key", "generate", "--append", "bad"]);
    assert!(error.contains("key file bad") && error.contains("no colon"), "{error}");
}

#[test]
fn audit_log_has_changes_by_commands() {
    let program = Program::new();
    let token = program.succeeds(&["token", "create", "--user", "ann"]).stdout;
    let name = token.split(':').next().unwrap();
    program.succeeds(&["token", "create", "--user", "ann", "--admin"]);
    program.prints(&["token", "revoke", name]);

    let text = program.prints(&["audit", "list"]);
    let changes: Vec<&str> =
        text.lines().map(|line| line.split_once(" \"(command line)\" ").unwrap().1).collect();
    assert_eq!(changes.len(), 5);
    for (change, (start, end)) in changes.iter().zip([
        (&*format!("delete token/{name}"), " done"),
        ("create token/token-", ""),
        ("update user/user-", " done detail=\"ann is an administrator\""),
        (&format!("create token/{name}"), " done detail=\"for the user ann\""),
        ("", " done detail=\"ann is an ordinary user\""),
    ]) {
        assert!(change.starts_with(start) && change.ends_with(end), "{start}{end}\n{text}");
    }

    let json = program.prints(&["audit", "list", "--format", "json", "--object", name]);
    let records: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records[0]["action"], "delete");
    assert_eq!((records[1]["userName"].as_str(), records.len()), (Some("command line"), 2));

    for (flags, expected) in [
        (&["--action", "create"][..], 3),
        (&["--object-type", "user"], 2),
        (&["--user", "command line", "--limit", "4"], 4),
        (&["--user", "ann"], 0),
        (&["--since", "1h"], 5),
        (&["--until", "1h"], 0),
        (&["--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"], 0),
    ] {
        let printed = program.prints(&[&["audit", "list"], flags].concat());
        assert_eq!(printed.lines().count(), expected, "{flags:?}: {printed}");
    }
}

#[test]
fn healthcheck_fails_without_a_server() {
    let error = Program::new().fails(1, &["healthcheck", "--listen", "127.0.0.1:1"]);
    assert!(error.contains("no response from 127.0.0.1:1\n  caused by: "), "{error}");
    // The server may be on another machine, as in the test of the Helm chart.
    let error = Program::new().fails(1, &["healthcheck", "--address", "localhost:1"]);
    assert!(error.contains("no response from localhost:1\n  caused by: "), "{error}");
}

#[test]
fn closed_standard_output_is_not_an_error() {
    let program = Program::new();
    for arguments in [["serve", "--help"], ["key", "generate"]] {
        let mut child = program.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}
