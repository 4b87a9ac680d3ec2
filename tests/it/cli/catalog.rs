//! `sizes`, `versions`, `regions` and `check --credential` against a running sandbox and stub servers.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::{Finished, Program};
use crate::support::program::{Server, sandbox_file};

/// A running sandbox in the directory of a program.
struct Sandbox {
    program: Program,
    _server: Server,
    token: String,
}

impl Sandbox {
    fn start() -> Self {
        let program = Program::new();
        let server = Server::start(program.path(), &["serve", "--sandbox", "--listen=127.0.0.1:0"]);
        let file = sandbox_file(&program.path().join("norman-aks-sandbox-data"));
        let token = file["token_key"].as_str().unwrap().to_owned();
        Self { program, _server: server, token }
    }

    /// Runs a command, which must not print the token.
    fn run(&self, arguments: &[&str], env: &[(&str, &str)]) -> Finished {
        let finished = self.program.run_with(arguments, env);
        let secret = self.token.split_once(':').unwrap().1;
        let output = finished.stdout.clone() + &finished.stderr;
        assert!(!output.contains(secret), "{arguments:?}: {output}");
        finished
    }

    /// The standard output of a command that succeeds.
    fn prints(&self, arguments: &[&str], env: &[(&str, &str)]) -> String {
        let finished = self.run(arguments, env);
        assert_eq!(finished.code, Some(0), "{arguments:?}: {}", finished.stderr);
        let message =
            "norman-aks: using the sandbox of ./norman-aks-sandbox-data/sandbox.json at http://127.0.0.1:";
        assert!(finished.stderr.starts_with(message), "{arguments:?}: {}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{arguments:?}: {}", finished.stderr);
        finished.stdout
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(&[arguments, &["--output", "json"]].concat(), &[])).unwrap()
    }
}

/// The words of the row whose first word is `name`.
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.into_iter().find(|words| words.first() == Some(&name)).unwrap_or_else(|| panic!("{name}: {table}"))
}

#[test]
fn table_of_sizes_fits_the_terminal() {
    let sandbox = Sandbox::start();
    let all = sandbox.prints(&["sizes"], &[]);
    assert!(all.lines().count() > 100, "{all}");
    assert_eq!(all.split_whitespace().next(), Some("NAME"));
    let columns = all.lines().next().unwrap();
    assert!(
        ["VCPUS", "ZONES", "QUOTA", "NODES", "VERDICT"].iter().all(|name| columns.contains(name)),
        "{columns}"
    );
    assert_eq!(row(&all, "Standard_D2s_v5")[..3], ["Standard_D2s_v5", "2", "8"]);
    for width in [30, 60, 100] {
        let text = sandbox.prints(&["sizes", "D2s", "--count=80"], &[("COLUMNS", &width.to_string())]);
        assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
        assert!(row(&text, "Standard_D2s_v5").contains(&"unusable"), "{text}");
        assert_eq!(text.contains("REASON"), width == 100, "{text}");
    }
    assert!(!all.contains('\u{1b}'), "colors are for terminals: {all}");
}

#[test]
fn sizes_pass_parameters_to_the_server() {
    let sandbox = Sandbox::start();
    let names = |arguments: &[&str]| -> Vec<String> {
        let list = sandbox.json(&[&["sizes"], arguments].concat());
        let sizes = list["data"].as_array().unwrap().clone();
        sizes.iter().map(|size| size["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = names(&[]);
    assert_eq!(names(&["--limit", "3"]), all[..3]);
    assert_eq!(names(&["d2s_v5"]), ["Standard_D2s_v5"]);
    assert_eq!(
        names(&["--sort=-vcpus", "--max-vcpus=4", "--min-vcpus=4", "--min-memory-gib=16", "--limit=1"]).len(),
        1
    );
    assert!(names(&["--gpu"]).len() < names(&["--gpu=false"]).len());
    assert_eq!(names(&["--family", "none"]), [""; 0]);
    let unusable = names(&["--count=80", "--verdict", "unusable", "--mode=system"]);
    let others = names(&["--count=80", "--verdict=usable,limited", "--mode=system"]);
    assert_eq!(unusable.len() + others.len(), all.len());
    assert!(unusable.contains(&"Standard_D2s_v5".to_owned()), "{unusable:?}");
    let reasons = sandbox.prints(&["sizes", "D2s_v5", "--count=80", "--reasons"], &[("COLUMNS", "60")]);
    assert!(reasons.contains("\n    quotaShort: ") && !reasons.contains("REASON"), "{reasons}");
}

#[test]
fn regions_are_ranked_with_reasons() {
    let sandbox = Sandbox::start();
    let arguments = ["regions", "--vm-size", "Standard_D2s_v3", "--zones=3", "--region=westus,eastus"];
    let table = sandbox.prints(&arguments, &[]);
    let names: Vec<_> = table.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(names, ["REGION", "eastus", "westus"]);
    assert_eq!(row(&table, "eastus"), ["eastus", "East", "US", "1", "2", "3", "50", "usable"]);
    assert!(row(&table, "westus").contains(&"unusable") && table.contains("only 0 can be used"), "{table}");
    let reasons = sandbox.prints(&[&arguments[..], &["--reasons"]].concat(), &[]);
    assert!(reasons.contains("\n    tooFewZones: "), "{reasons}");
    let json = sandbox.json(&arguments);
    assert_eq!(json["progress"], json!({"done": 2, "total": 2}));
    assert_eq!(json["data"][1]["reasons"][0]["code"], "tooFewZones");
}

#[test]
fn versions_are_listed_newest_first() {
    let sandbox = Sandbox::start();
    let table = sandbox.prints(&["versions"], &[]);
    let names: Vec<_> = table.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(names[0], "1.35", "{table}");
    assert!(row(&table, "1.32").contains(&"1.32.10"), "{table}");
    let json = sandbox.json(&["versions", "--preview=false", "--support-plan=kubernetesofficial"]);
    let minors = json["data"].as_array().unwrap();
    assert!(!minors.is_empty() && minors.iter().all(|minor| minor["isPreview"] == false), "{json}");
    for width in [30, 80] {
        let text = sandbox.prints(&["versions"], &[("COLUMNS", &width.to_string())]);
        assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
    }
}

#[test]
fn credential_check_prints_verdict_uses_and_commands() {
    let sandbox = Sandbox::start();
    let text = sandbox.prints(&["check", "--credential", "--resource-group=rancher"], &[]);
    assert!(
        text.starts_with("credential    cattle-global-data:cc-") && text.contains("  usable\n"),
        "{text}"
    );
    assert_eq!(row(&text, "create")[..2], ["create", "allowed"]);
    assert!(text.contains("rancher") && !text.contains("MISSING OPERATION"), "{text}");
    let json = sandbox.json(&["check", "--credential"]);
    assert_eq!((&json["verdict"], &json["login"]["status"]), (&json!("usable"), &json!("accepted")));
    let finished = sandbox.run(&["check", "--credential=cattle-global-data:cc-none"], &[]);
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.stderr.contains("cc-none not found (status 404); list your credentials"),
        "{}",
        finished.stderr
    );

    let reason = json!({"code": "loginRejected", "message": "wrong", "remedy": "mend", "source": "", "verdict": "unusable"});
    let report = json!({"verdict": "unusable", "reasons": [reason], "login": {"status": "rejected", "aadsts": [7_000_215]},
        "operations": [], "assignments": [], "providers": [], "policies": [], "unchecked": []});
    let (url, server) = start_stub(vec![response("200 OK", "", &report.to_string())]);
    let finished = Program::new()
        .run_with(&["check", "--credential", "a/../b", "--server", &url], &TOKEN_AND_CREDENTIAL);
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.stdout.contains("rejected AADSTS7000215")
            && finished.stdout.contains("loginRejected: wrong; mend")
    );
    assert!(
        finished.stderr.contains("credential a/../b cannot be used; the reasons are above"),
        "{}",
        finished.stderr
    );
    let request = &server.join().unwrap()[0];
    assert!(request.starts_with("GET /api/v1/credentials/a%2F%2E%2E%2Fb/check HTTP/1.1"), "{request}");
}

#[test]
fn errors_of_the_server_have_messages_and_remedies() {
    let sandbox = Sandbox::start();
    let page = sandbox.json(&["sizes", "--limit=1"]);
    assert!(page["next"].is_string(), "only the first page was requested: {page}");
    for (arguments, env, parts) in [
        (
            &["sizes", "--credential=cattle-global-data:cc-none"][..],
            &[][..],
            &["cc-none not found (status 404)", "list your credentials"][..],
        ),
        (&["sizes", "--zones=x"], &[], &["zones must be zone numbers from 1 to 9", "(status 422)"]),
        (&["regions", "--region=nowhere"], &[], &["the subscription has no region nowhere"]),
    ] {
        let finished = sandbox.run(arguments, env);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(
            parts.iter().all(|part| finished.stderr.contains(part)),
            "{arguments:?}: {}",
            finished.stderr
        );
    }
}

/// Starts a server that sends one of these responses on each connection; its thread returns the requests.
fn start_stub(responses: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let respond = |response: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                let mut piece = [0; 4096];
                let length = stream.read(&mut piece).unwrap();
                request.push_str(&String::from_utf8_lossy(&piece[..length]));
            }
            stream.write_all(response.as_bytes()).unwrap();
            request
        };
        responses.into_iter().map(respond).collect()
    };
    (url, thread::spawn(serve))
}

/// A response with a body.
fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

const TOKEN_AND_CREDENTIAL: [(&str, &str); 2] =
    [("NORMAN_AKS_TOKEN", "token-a:canary"), ("NORMAN_AKS_CREDENTIAL", "cc-a")];

#[test]
fn pages_are_joined_and_requested_from_the_named_server() {
    let page = |names: &[&str], next: Value| {
        let data: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        response("200 OK", "", &json!({"data": data, "next": next}).to_string())
    };
    let (url, server) = start_stub(vec![
        page(&["a\u{9b}", "b"], json!("https://other.example/api/v1/vm-sizes?region=eastus&marker=b")),
        page(&["c"], Value::Null),
    ]);
    let finished = Program::new()
        .run_with(&["sizes", "--server", &url, "--region=eastus", "--output=json"], &TOKEN_AND_CREDENTIAL);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        finished.stdout,
        "{\"data\":[{\"name\":\"a\\u009b\"},{\"name\":\"b\"},{\"name\":\"c\"}],\"next\":null}\n"
    );
    let requests = server.join().unwrap();
    assert!(
        requests[0].starts_with("GET /api/v1/vm-sizes?cloudCredentialId=cc-a&region=eastus HTTP/1.1\r\n"),
        "{}",
        requests[0]
    );
    assert!(
        requests[1].starts_with("GET /api/v1/vm-sizes?region=eastus&marker=b HTTP/1.1\r\n"),
        "{}",
        requests[1]
    );
    assert!(requests[1].contains("authorization: Bearer token-a:canary\r\n"), "{}", requests[1]);
}

#[test]
fn unusable_responses_are_errors() {
    let error = |message: &str| json!({"type": "error", "code": "X", "message": message}).to_string();
    for (response, expected) in [
        (
            response("401 Unauthorized", "", &error("must authenticate")),
            "must authenticate (status 401); the token is missing",
        ),
        (
            response("503 Service Unavailable", "Retry-After: 7\r\n", &error("later")),
            "later (status 503); try again in 7 s",
        ),
        (
            response("307 Temporary Redirect", "Location: https://other.example/\r\n", ""),
            "redirects to https://other.example/; name that server",
        ),
        (response("404 Not Found", "", "<html>"), "status 404 Not Found without a message"),
        (response("200 OK", "", "<html>"), "did not respond as norman-aks does"),
        (response("200 OK", "", "{\"data\": [], \"ne"), "did not respond as norman-aks does"),
        (response("422 Unprocessable Entity", "", &error("a\u{1b}[2Jb")), "a [2Jb"),
        (String::new(), "no response from http://127.0.0.1:"),
    ] {
        let (url, server) = start_stub(vec![response]);
        let finished =
            Program::new().run_with(&["sizes", "--server", &url, "--region=eastus"], &TOKEN_AND_CREDENTIAL);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{expected}");
        assert!(
            finished.stderr.contains(expected) && !finished.stderr.contains("canary"),
            "{}",
            finished.stderr
        );
        server.join().unwrap();
    }
    let finished =
        Program::new().run_with(&["regions", "--server=http://127.0.0.1:1"], &TOKEN_AND_CREDENTIAL);
    assert!(
        finished.stderr.contains("no response from http://127.0.0.1:1; start it with"),
        "{}",
        finished.stderr
    );
}

#[test]
fn incomplete_streams_are_reported() {
    let line = |done: u32, ending: &str| {
        let region = json!({"name": format!("r{done}"), "displayName": "R", "zones": [], "nodes": null, "verdict": "usable", "reasons": []});
        json!({"region": region, "progress": {"done": done, "total": 3}}).to_string() + ending
    };
    for (body, code, message) in [
        (line(1, "\n") + &line(2, "\n"), 0, "only 2 of 3 regions"),
        (line(1, "\n") + &line(2, ""), 1, "the last line is incomplete"),
    ] {
        let (url, server) =
            start_stub(vec![response("200 OK", "Content-Type: application/x-ndjson\r\n", &body)]);
        let finished = Program::new().run_with(&["regions", "--server", &url], &TOKEN_AND_CREDENTIAL);
        assert_eq!(finished.code, Some(code), "{}", finished.stderr);
        assert!(finished.stderr.contains(message), "{}", finished.stderr);
        assert_eq!(finished.stdout.contains("r2"), code == 0, "{}", finished.stdout);
        let request = &server.join().unwrap()[0];
        assert!(request.contains("accept: application/x-ndjson\r\n"), "{request}");
    }
}

#[test]
fn invalid_settings_and_arguments_are_usage_errors() {
    let program = Program::new();
    program.write("ca.pem", "no certificate");
    for (arguments, parts) in [
        (
            &["sizes"][..],
            &["no token for the server", "NORMAN_AKS_TOKEN", "./norman-aks-sandbox-data/sandbox.json"][..],
        ),
        (&["sizes", "--token", "x"], &["unexpected argument '--token'"]),
        (&["sizes", "--verdict=maybe"], &["'maybe'", "usable, limited, unusable"]),
        (&["sizes", "--limit=0"], &["0"]),
        (&["regions", "--count=3"], &["--vm-size"]),
        (&["check", "--server=http://x"], &["--credential"]),
        (&["check", "--resource-group=x"], &["--credential"]),
    ] {
        let error = program.fails(2, arguments);
        assert!(parts.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
    }
    for (arguments, part) in [
        (&["sizes", "--credential=cc-a"][..], "no region; name one with --region"),
        (&["sizes", "--region=eastus"], "no credential; name a stored one"),
        (&["regions", "--credential=cc-a", "--ca-file=ca.pem"], "--ca-file contains no PEM certificate"),
        (
            &["regions", "--credential=cc-a", "--server=ftp://x"],
            "the value of server (flag --server) is invalid",
        ),
    ] {
        let finished = program.run_with(arguments, &TOKEN_AND_CREDENTIAL[..1]);
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        assert!(finished.stderr.contains(part) && !finished.stderr.contains("canary"), "{}", finished.stderr);
    }
}
