//! The real executable: what it prints where, and its exit codes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use norman_aks::store::{self, CredentialRow, Store, UserRow};
use tempfile::TempDir;

use crate::support::audit;

/// The executable in a folder and an environment of its own.
struct Program {
    folder: TempDir,
}

impl Program {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_norman-aks"));
        command.args(arguments).env_clear().current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a successful run prints; nothing may go to standard error.
    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{arguments:?}");
        stdout(&output)
    }

    /// What a successful run prints, and what it says beside it.
    fn told(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        (stdout(&output), stderr(&output))
    }

    /// What a failed run says; nothing may go to standard output.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
        stderr(&output)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_and_version_go_to_standard_output() {
    let program = Program::new();
    assert_eq!(program.printed(&["--version"]), format!("norman-aks {}\n", env!("CARGO_PKG_VERSION")));
    let help = program.printed(&["--help"]);
    for command in ["serve", "sandbox", "openapi", "token", "key", "audit", "migrate", "check"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command}\n{help}");
    }
    assert!(!help.contains("healthcheck"), "{help}");
    // Wherever the lines break.
    let help = program.printed(&["serve", "--help"]);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("[default: 127.0.0.1:8080] [env: NORMAN_AKS_LISTEN]"), "{help}");
    assert!(help.contains("NORMAN_AKS_BOOTSTRAP_TOKEN "), "{help}");
    assert!(help.contains("RUST_LOG"), "{help}");
}

#[test]
fn what_cannot_be_understood_is_a_usage_error_that_names_it() {
    let program = Program::new();
    let error = program.fails(2, &["serve", "--listne", "x"]);
    assert!(error.contains("'--listne'") && error.contains("'--listen'"), "{error}");
    let error = program.fails(2, &["serv"]);
    assert!(error.contains("'serv'") && error.contains("'serve'"), "{error}");
    program.fails(2, &[]);
    program.fails(2, &["token", "create"]);
    let error = program.fails(2, &["token", "create", "--user", "ann", "--ttl", "soon"]);
    assert!(error.contains("'soon'") && error.contains("--ttl"), "{error}");

    let error = program.fails(2, &["serve", "--listen", "8080"]);
    assert_eq!(
        error,
        "norman-aks: the settings cannot be used\n  caused by: listen cannot be \"8080\" (flag --listen); it must be an \
         IP address and a port, for example 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080\n"
    );
    fs::write(program.path().join("n.toml"), "listne = 1").unwrap();
    let error = program.fails(2, &["migrate", "--config", "n.toml"]);
    assert!(error.contains("n.toml has an unknown key \"listne\"; did you mean listen?"), "{error}");
    let output = program.command(&["migrate"]).env("RUST_LOG", "a=loud").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("RUST_LOG is not a list of directives"), "{}", stderr(&output));
}

#[test]
fn settings_come_from_the_environment_of_the_process_and_strange_variables_warn() {
    let program = Program::new();
    let mut command = program.command(&["migrate"]);
    command.env("NORMAN_AKS_DATA_DIR", "elsewhere").env("NORMAN_AKS_LISTNE", "x");
    let output = command.env("NORMAN_AKS_PORT", "tcp://10.0.0.1:80").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stderr(&output),
        "norman-aks: warning: the variable NORMAN_AKS_LISTNE is unknown and has no effect; \
         did you mean NORMAN_AKS_LISTEN?\n"
    );
    let folder = fs::metadata(program.path().join("elsewhere")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    assert!(program.path().join("elsewhere/norman-aks.db").exists());
}

#[test]
fn backtraces_are_a_matter_of_the_server_only() {
    let program = Program::new();
    for command in [&["migrate"][..], &["token", "list"], &["check", "--sandbox"]] {
        let output = program.command(command).env("RUST_BACKTRACE", "1").output().unwrap();
        let said = stdout(&output) + &stderr(&output);
        assert!(output.status.success() && !said.contains("RUST_BACKTRACE"), "{command:?}: {said}");
    }
    // A server warns once it listens.
    fs::write(program.path().join("file"), "").unwrap();
    let serve = ["serve", "--data-dir", "file/below"];
    let output = program.command(&serve).env("RUST_BACKTRACE", "1").output().unwrap();
    assert!(!output.status.success());
    assert!(!stderr(&output).contains("RUST_BACKTRACE"), "{}", stderr(&output));
}

#[test]
fn a_token_is_made_listed_and_revoked() {
    let program = Program::new();
    let (ann, told) =
        program.told(&["token", "create", "--user", "ann", "--ttl", "30d", "--description", "for tests"]);
    assert_eq!(
        told,
        "norman-aks: the token is for the servers of the new database ./norman-aks-data/norman-aks.db\n"
    );
    let (name, secret) = ann.trim_end().split_once(':').unwrap();
    assert!(name.starts_with("token-") && secret.len() >= 40, "{ann}");
    assert_eq!(ann.lines().count(), 1);
    let (root, told) = program.told(&["token", "create", "--user", "root", "--admin"]);
    assert!(told.ends_with("servers of the database ./norman-aks-data/norman-aks.db\n"), "{told}");

    let list = program.printed(&["token", "list"]);
    assert_eq!(list.lines().count(), 3, "{list}");
    let row = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace();
    assert_eq!(row(name).skip(1).take(2).collect::<Vec<_>>(), ["ann", "no"]);
    assert!(row(name).collect::<Vec<_>>().join(" ").ends_with("Z never for tests"), "{list}");
    let root = root.split(':').next().unwrap();
    assert_eq!(row(root).skip(1).take(2).collect::<Vec<_>>(), ["root", "yes"]);
    assert_eq!(row(root).nth(4), Some("never"));
    assert!(!list.contains(secret), "{list}");

    assert_eq!(program.printed(&["token", "revoke", name]), "");
    let error = program.fails(1, &["token", "revoke", ann.trim_end()]);
    assert!(error.contains(&format!("there is no token \"{name}\"")) && !error.contains(secret), "{error}");
    assert_eq!(program.printed(&["token", "list"]).lines().count(), 2);

    let error = program.fails(1, &["token", "create", "--user", ""]);
    assert!(error.starts_with("norman-aks: "), "{error}");
}

#[test]
fn a_database_of_a_sandbox_is_refused_without_it() {
    let program = Program::new();
    program.told(&["token", "create", "--user", "ann", "--sandbox", "--data-dir", "d"]);
    let error = program.fails(1, &["token", "list", "--data-dir", "d"]);
    assert!(error.contains("sandbox") && error.contains("azure"), "{error}");
    assert!(error.contains("; add --sandbox, or name another database with --data-dir"), "{error}");
    let output = program.run(&["check", "--sandbox", "--data-dir", "d"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    program.printed(&["migrate", "--data-dir", "e"]);
    program.told(&["token", "create", "--user", "ann", "--data-dir", "e"]);
    let output = program.run(&["check", "--sandbox", "--data-dir", "e"]);
    assert!(
        stdout(&output).contains("this one is for sandbox; leave out --sandbox, or"),
        "{}",
        stdout(&output)
    );
    assert_eq!(program.printed(&["token", "list", "--sandbox", "--data-dir", "d"]).lines().count(), 2);
    assert!(!program.path().join("norman-aks-data").exists());
}

#[test]
fn whoever_becomes_an_administrator_or_ceases_to_be_one_is_named() {
    let program = Program::new();
    let place = "norman-aks: the token is for the servers of the database ./norman-aks-data/norman-aks.db\n";
    let make = |flags: &[&str]| {
        let (token, told) = program.told(&[&["token", "create", "--user", "ann"], flags].concat());
        (token.split(':').next().unwrap().to_owned(), told)
    };
    let roles = || {
        let list = program.printed(&["token", "list"]);
        let rows = list.lines().skip(1).filter(|row| row.contains(" ann "));
        rows.map(|row| row.split_whitespace().nth(2).unwrap().to_owned()).collect::<Vec<_>>()
    };
    // One administrator has to stay.
    program.told(&["token", "create", "--user", "root", "--admin"]);
    make(&[]);
    let (_, told) = make(&["--admin"]);
    assert_eq!(
        told,
        format!(
            "norman-aks: ann is an administrator now, with every token that he has; `--no-admin` takes it away again\n\
             {place}"
        )
    );
    assert_eq!(roles(), ["yes", "yes"]);
    assert_eq!(make(&["--admin"]).1, place);
    assert_eq!(make(&[]).1, place);
    let (_, told) = make(&["--no-admin"]);
    assert!(told.starts_with("norman-aks: ann is an ordinary user now"), "{told}");
    assert_eq!(roles(), ["no"; 5]);
    let error = program.fails(2, &["token", "create", "--user", "ann", "--admin", "--no-admin"]);
    assert!(error.contains("cannot be used with"), "{error}");
}

#[test]
fn beside_a_sandbox_nobody_gets_an_empty_database_by_mistake() {
    let program = Program::new();
    let (_, told) = program.told(&["token", "create", "--user", "ann", "--sandbox"]);
    assert!(!told.contains("--sandbox"), "{told}");
    let rotate = ["key", "rotate", "--encryption-key-file", "keys"];
    program.printed(&["key", "generate", "--append", "keys"]);
    for asked in [&["token", "list"][..], &["token", "revoke", "token-abcde:secret"], &rotate] {
        let error = program.fails(1, asked);
        assert_eq!(
            error,
            "norman-aks: there is no database at ./norman-aks-data/norman-aks.db; for the sandbox add --sandbox, or \
             name another with --data-dir\n"
        );
        assert!(!program.path().join("norman-aks-data").exists(), "{asked:?}");
    }
    let error = program.fails(1, &["token", "list", "--sandbox", "--data-dir", "d"]);
    assert!(error.ends_with("no database at d/norman-aks.db; name another with --data-dir\n"), "{error}");

    // Making a token may come before the first start of the server; then it is said which one it is for.
    let (_, told) = program.told(&["token", "create", "--user", "ann"]);
    assert_eq!(
        told,
        "norman-aks: the token is for the servers of the new database ./norman-aks-data/norman-aks.db; the sandbox of \
         ./norman-aks-sandbox-data does not know it: its tokens need --sandbox\n"
    );
    let (_, told) = program.told(&["token", "create", "--user", "ann"]);
    assert!(!told.contains("sandbox"), "{told}");
}

#[test]
fn migrating_twice_is_the_same_as_once() {
    let program = Program::new();
    assert!(program.printed(&["migrate"]).starts_with("Applied: 0001_"));
    assert_eq!(program.printed(&["migrate"]), "The database schema is up to date.\n");
}

#[test]
fn a_database_that_cannot_be_opened_is_named_with_its_cause() {
    let program = Program::new();
    fs::write(program.path().join("file"), "").unwrap();
    let error = program.fails(1, &["migrate", "--data-dir", "file/below"]);
    assert!(error.contains("file/below") && error.contains("caused by: Not a directory"), "{error}");
    let error = program.fails(
        1,
        &["migrate", "--database-wait-seconds", "1", "--database-url", "postgres://u:canary@127.0.0.1:1/d"],
    );
    assert!(error.contains("the database is not available") && error.contains("caused by"), "{error}");
    assert!(!error.contains("canary") && !error.contains("Os {"), "{error}");
}

#[test]
fn keys_are_printed_or_put_first_into_a_file() {
    let program = Program::new();
    let line = program.printed(&["key", "generate"]);
    let (id, key) = line.trim_end().split_once(':').unwrap();
    assert!(!id.is_empty() && key.len() == 44, "{line}");
    assert_ne!(line, program.printed(&["key", "generate"]));

    let said = program.printed(&["key", "generate", "--append", "keys"]);
    let first = fs::read_to_string(program.path().join("keys")).unwrap();
    assert!(said.starts_with(first.split(':').next().unwrap()), "{said}");
    assert!(!said.contains(first.trim_end().split_once(':').unwrap().1), "{said}");
    program.printed(&["key", "generate", "--append", "keys"]);
    let both = fs::read_to_string(program.path().join("keys")).unwrap();
    assert!(both.ends_with(&first) && both.lines().count() == 2, "both lines, the old one last");

    program.printed(&["migrate"]);
    let rotated = program.printed(&["key", "rotate", "--encryption-key-file", "keys"]);
    let active = both.split(':').next().unwrap();
    assert_eq!(rotated, format!("0 secrets were sealed with {active}.\n"));
    let error = program.fails(1, &["key", "rotate"]);
    assert!(error.contains("norman-aks-data/encryption.keys") && error.contains("key generate"), "{error}");

    fs::write(program.path().join("bad"), "no key").unwrap();
    let error = program.fails(1, &["key", "generate", "--append", "bad"]);
    assert!(error.contains("key file bad") && error.contains("no colon"), "{error}");
}

#[test]
fn check_prints_masked_settings_and_fails_when_a_test_fails() {
    let program = Program::new();
    let output = program.run(&["check", "--sandbox"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("database: ./norman-aks-sandbox-data/norman-aks.db will be made at the first start"),
        "{text}"
    );
    assert!(!program.path().join("norman-aks-sandbox-data").exists(), "check changes nothing");

    assert!(
        text.contains("encryption key: ./norman-aks-sandbox-data/encryption.keys will be made"),
        "{text}"
    );

    program.printed(&["migrate", "--sandbox"]);
    program.printed(&["key", "generate", "--append", "norman-aks-sandbox-data/encryption.keys"]);
    let text = program.printed(&["check", "--sandbox", "--drain-seconds", "7"]);
    assert!(text.contains("database: reachable, schema up to date"), "{text}");
    assert!(text.contains("is active, no other is missing"), "{text}");
    let line = text.lines().find(|line| line.starts_with("drain-seconds")).unwrap();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["drain-seconds", "7", "(flag", "--drain-seconds)"]
    );

    let mut command = program.command(&["check", "--sandbox", "--database-wait-seconds=1"]);
    command.env("NORMAN_AKS_DATABASE_URL", "postgres://u:canary@127.0.0.1:1/d");
    let output = command.env("NORMAN_AKS_BOOTSTRAP_TOKEN", "token-a:canary").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output) + &stderr(&output);
    assert!(text.contains("FAILED  database: the database is not available"), "{text}");
    assert!(text.contains("postgres://u:****@127.0.0.1:1/d") && text.contains("token-a:****"), "{text}");
    assert!(text.contains("1 of the tests above failed"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn check_tells_whether_kubeconfigs_name_the_authority() {
    let program = Program::new();
    let (leaf, authority, key) = certificate_of_a_private_authority();
    fs::write(program.path().join("key.pem"), key).unwrap();
    let tls = ["--tls-listen=127.0.0.1:0", "--tls-cert=cert.pem", "--tls-key=key.pem"];
    let check = || program.printed(&[&["check", "--sandbox"][..], &tls].concat());
    fs::write(program.path().join("cert.pem"), &leaf).unwrap();
    let text = check();
    let note = text.lines().find(|line| line.starts_with("note")).unwrap_or_default();
    assert!(note.contains("TLS certificate: cert.pem has only the server's own certificate"), "{text}");
    assert!(note.contains("append") && note.contains("setting cacerts"), "{note}");
    fs::write(program.path().join("cert.pem"), format!("{leaf}{authority}")).unwrap();
    let text = check();
    assert!(text.contains("TLS certificate: kubeconfigs name its authority"), "{text}");
    fs::write(program.path().join("cert.pem"), "no certificate").unwrap();
    let output = program.run(&[&["check", "--sandbox"][..], &tls].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("FAILED  TLS certificate"), "{}", stdout(&output));
}

/// The certificate of a server, that of the authority that signed it, and the key, PEM.
fn certificate_of_a_private_authority() -> (String, String, String) {
    let (root_key, key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
    let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
    root.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = root.self_signed(&root_key).unwrap().pem();
    let mut leaf = rcgen::CertificateParams::new(vec!["aks.example".to_owned()]).unwrap();
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "server");
    let leaf = leaf.signed_by(&key, &rcgen::Issuer::new(root, root_key)).unwrap().pem();
    (leaf, authority, key.serialize_pem())
}

#[test]
fn start_warns_when_kubeconfigs_name_no_authority() {
    let program = Program::new();
    let (leaf, _, key) = certificate_of_a_private_authority();
    fs::write(program.path().join("key.pem"), key).unwrap();
    fs::write(program.path().join("cert.pem"), leaf).unwrap();
    let tls = ["--tls-listen=127.0.0.1:0", "--tls-cert=cert.pem", "--tls-key=key.pem"];
    let mut command = program.command(&[&["serve", "--sandbox", "--listen=127.0.0.1:0"][..], &tls].concat());
    let mut server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = std::io::BufReader::new(server.stderr.take().unwrap());
    let mut lines = std::io::BufRead::lines(log).map_while(Result::ok);
    // The start goes on behind it: without the warning, the line of the listener comes first.
    let found = lines.find(|line| line.contains("setting cacerts") || line.contains("listening: the API"));
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(found.as_deref().unwrap_or_default().contains("setting cacerts"), "{found:?}");
}

#[test]
fn a_cloud_that_no_credential_is_for_need_not_be_reached() {
    let program = Program::new();
    program.printed(&["migrate"]);
    // Nothing is reached by way of a proxy that is not there.
    let checked = || {
        let output = program.command(&["check"]).env("HTTPS_PROXY", "http://127.0.0.1:1").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        assert_eq!(stderr(&output), "norman-aks: 2 of the tests above failed\n");
        stdout(&output)
    };
    let lines = |text: &str, mark: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
        lines.map(|line| line.trim_start().to_owned()).collect()
    };
    let hosts = |lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| line.split(':').next().unwrap().to_owned()).collect()
    };
    let public = ["login.microsoftonline.com", "management.azure.com"];
    let china = ["login.chinacloudapi.cn", "management.chinacloudapi.cn"];
    let government = ["login.microsoftonline.us", "management.usgovcloudapi.net"];

    let text = checked();
    assert_eq!(hosts(&lines(&text, "FAILED")), public, "{text}");
    let notes = lines(&text, "note");
    assert_eq!(hosts(&notes), [china, government].concat(), "{text}");
    assert!(notes[0].ends_with(" (no stored credential is for AzureChinaCloud)"), "{text}");
    assert!(!text.contains("caused by"), "{text}");

    let credential = CredentialRow {
        id: "cc-china".to_owned(),
        uuid: String::new(),
        owner: "user-a".to_owned(),
        name: String::new(),
        description: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        tenant_id: None,
        subscription_id: None,
        client_id: Some("c".to_owned()),
        environment: Some("AzureChinaCloud".to_owned()),
        secret: None,
        created_ms: 0,
        updated_ms: 0,
        deleted_ms: None,
        version: 1,
    };
    let url = store::sqlite_url(&program.path().join("norman-aks-data/norman-aks.db"));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Store::connect(&url, &store::Options::default()).await.unwrap();
        let owner = UserRow {
            id: credential.owner.clone(),
            name: "ann".to_owned(),
            admin: false,
            enabled: true,
            created_ms: 0,
        };
        store::users::ensure(&store, &owner, None, |_| audit()).await.unwrap();
        store::credentials::insert(&store, &credential, &audit()).await.unwrap();
        store.close().await;
    });
    let text = checked();
    assert_eq!(hosts(&lines(&text, "FAILED")), china, "{text}");
    assert_eq!(hosts(&lines(&text, "note")), [public, government].concat(), "{text}");
}

#[test]
fn the_audit_log_has_what_commands_changed() {
    let program = Program::new();
    let error = program.fails(1, &["audit", "list"]);
    assert!(error.contains("there is no database at "), "{error}");
    let (token, _) = program.told(&["token", "create", "--user", "ann"]);
    let name = token.split(':').next().unwrap();
    program.told(&["token", "create", "--user", "ann", "--admin"]);
    program.printed(&["token", "revoke", name]);

    let text = program.printed(&["audit", "list"]);
    let changes: Vec<&str> =
        text.lines().map(|line| line.split_once(" \"(command line)\" ").unwrap().1).collect();
    let of_token = format!("token/{name} done");
    assert_eq!(changes[0], format!("delete {of_token}"));
    assert!(changes[1].starts_with("create token/token-"), "{text}");
    assert!(changes[2].starts_with("update user/user-"), "{text}");
    assert!(changes[2].ends_with(" done detail=\"ann is an administrator\""), "{text}");
    assert_eq!(changes[3], format!("create {of_token} detail=\"for the user ann\""));
    assert!(changes[4].ends_with(" done detail=\"ann is an ordinary user\""), "{text}");
    assert_eq!(changes.len(), 5);

    let json = program.printed(&["audit", "list", "--format", "json", "--object", name]);
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
        let printed = program.printed(&[&["audit", "list"], flags].concat());
        assert_eq!(printed.lines().count(), expected, "{flags:?}: {printed}");
    }
    let error = program.fails(2, &["audit", "list", "--since", "soon"]);
    assert!(error.contains("'soon'") && error.contains("write it as 2026-"), "{error}");
}

#[test]
fn a_health_check_without_a_server_fails() {
    let program = Program::new();
    let error = program.fails(1, &["healthcheck", "--listen", "127.0.0.1:1"]);
    assert!(error.contains("no server answers at 127.0.0.1:1\n  caused by: "), "{error}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let program = Program::new();
    let mut child = program.command(&["serve", "--help"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(0));
    let mut child = program.command(&["key", "generate"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
