//! The part of kubectl that commands of Azure's run command use: `apply`, `delete` and `get`, joined by `&&`. Each request
//! is processed like one from outside: it is logged, authorized and admitted.

mod apply;
mod args;
mod client;
mod get;
mod manifest;
mod shell;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use args::Args;
pub(crate) use client::Client;

/// The exit code for unsupported shell syntax, kubectl commands and programs: the shell's exit code for unknown programs.
const EXIT_UNSUPPORTED: i32 = 127;

const USAGE: &str = "The sandbox supports: kubectl apply [--server-side] -f FILE, kubectl delete -f FILE, \
    kubectl delete TYPE/NAME, kubectl delete TYPE[,TYPE] -l SELECTOR, kubectl get TYPE[/NAME], joined by &&";

/// The result of an executed command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    pub(crate) exit_code: i32,
    /// Standard output and error.
    pub(crate) logs: String,
}

/// A running command: its client, its files, and its output so far.
struct Session<'a> {
    client: &'a Client,
    files: &'a BTreeMap<String, Vec<u8>>,
    logs: String,
}

/// Executes a command line.
pub(crate) fn run(client: &Client, files: &BTreeMap<String, Vec<u8>>, line: &str) -> Output {
    let mut session = Session { client, files, logs: String::new() };
    let exit_code = match shell::parse(line) {
        Ok(commands) => {
            let mut commands = commands.iter();
            loop {
                let Some(words) = commands.next() else { break 0 };
                let code = session.execute(words);
                if code != 0 {
                    break code;
                }
            }
        }
        Err(text) => {
            session.print(&format!("sh: syntax error: {text} is not supported\n{USAGE}"));
            EXIT_UNSUPPORTED
        }
    };
    Output { exit_code, logs: session.logs }
}

impl Session<'_> {
    fn print(&mut self, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.logs, "{line}");
    }

    /// Executes one program, and returns its exit code.
    fn execute(&mut self, words: &[String]) -> i32 {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (verb, rest) = match words.as_slice() {
            ["kubectl", verb @ ("apply" | "delete" | "get"), rest @ ..] => (*verb, rest),
            ["kubectl", verb, ..] => {
                self.print(&format!("error: unknown command {verb:?} for \"kubectl\"\n{USAGE}"));
                return EXIT_UNSUPPORTED;
            }
            words => {
                let program = words.first().copied().unwrap_or_default();
                self.print(&format!("sh: {program}: command not found\n{USAGE}"));
                return EXIT_UNSUPPORTED;
            }
        };
        let result = Args::parse(rest).and_then(|args| match verb {
            "apply" => self.apply(&args),
            "delete" => self.delete(&args),
            _ => self.get(&args),
        });
        match result {
            Ok(()) => 0,
            Err(Failure::Printed) => 1,
            Err(Failure::Message(text)) => {
                self.print(&text);
                1
            }
        }
    }
}

/// A failed program.
enum Failure {
    /// The error messages are already printed.
    Printed,
    Message(String),
}

impl Failure {
    fn error(text: impl std::fmt::Display) -> Self {
        Self::Message(format!("error: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::resources::{CONFIG_MAPS, DEPLOYMENTS, NETWORK_POLICIES};
    use super::super::user::User;
    use super::*;
    use crate::kube::clusters::KubeClusters;
    use crate::kube::declared::Declared;

    const HOST: &str = "a.hcp.eastus.azmk8s.io";

    fn client(user: User) -> Client {
        let stop = tokio_util::sync::CancellationToken::new();
        let kube = KubeClusters::open(clock::Clock::manual(0), None, &[], Vec::new(), stop).unwrap();
        kube.declare(Declared { fqdn: HOST.to_owned(), ..Declared::default() });
        let cluster = kube.cluster(HOST).unwrap();
        Client { kube, cluster, user }
    }

    fn run_with(client: &Client, manifest: &str, line: &str) -> (i32, String) {
        let files = BTreeMap::from([("a.yaml".to_owned(), manifest.as_bytes().to_vec())]);
        let output = run(client, &files, line);
        (output.exit_code, output.logs)
    }

    const MANIFEST: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: cattle-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: agent, namespace: cattle-system}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers:
      - name: agent
        image: agent:1
        env: [{name: A, value: '1'}, {name: B, value: '2'}]
---
# nothing but a comment
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: agent, namespace: cattle-system}
spec: {podSelector: {}, policyTypes: [Ingress]}
";

    #[test]
    fn apply_creates_then_changes_only_what_differs() {
        let client = client(User::administrator());
        let (code, logs) = run_with(&client, MANIFEST, "kubectl apply -f a.yaml");
        let names =
            ["namespace/cattle-system", "deployment.apps/agent", "networkpolicy.networking.k8s.io/agent"];
        assert_eq!((code, logs), (0, names.map(|name| format!("{name} created\n")).concat()));
        let (code, logs) = run_with(&client, MANIFEST, "kubectl apply -f ./a.yaml --field-manager=me");
        assert_eq!((code, logs), (0, names.map(|name| format!("{name} unchanged\n")).concat()));
        let changed = MANIFEST.replace("agent:1", "agent:2").replace(", {name: B, value: '2'}", "");
        let (code, logs) = run_with(&client, &changed, "kubectl apply -f a.yaml");
        assert_eq!(code, 0);
        assert!(
            logs.contains("deployment.apps/agent configured\n") && logs.contains("agent unchanged\n"),
            "{logs}"
        );
        let state = client.cluster.state();
        let live = state.get(&DEPLOYMENTS, "cattle-system", "agent").unwrap();
        let container = &live["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "agent:2");
        assert_eq!(
            container["env"],
            json!([{"name": "A", "value": "1"}]),
            "fields omitted by the manifest are removed"
        );
        assert!(state.get(&NETWORK_POLICIES, "cattle-system", "agent").is_some());
    }

    #[test]
    fn server_side_apply_and_delete_print_every_object() {
        let client = client(User::administrator());
        let line = "kubectl apply --server-side --field-manager me --force-conflicts -f a.yaml && kubectl get ns cattle-system -o name";
        let (code, logs) = run_with(&client, MANIFEST, line);
        assert!(code == 0 && logs.contains("deployment.apps/agent serverside-applied\n"), "{logs}");
        assert!(logs.ends_with("namespace/cattle-system\n"), "{logs}");
        let line = "kubectl delete deploy/agent -n cattle-system --wait=false && kubectl delete -f a.yaml";
        let (code, logs) = run_with(&client, MANIFEST, line);
        assert!(logs.starts_with("deployment.apps \"agent\" deleted\n"), "{logs}");
        assert!(
            code == 1 && logs.contains("Error from server (NotFound): error when deleting \"a.yaml\""),
            "{logs}"
        );
        let line = "kubectl delete -f a.yaml --ignore-not-found --timeout=30s";
        assert_eq!(
            run_with(&client, "kind: Secret\napiVersion: v1\nmetadata: {name: x}", line),
            (0, String::new())
        );
    }

    #[test]
    fn selector_deletes_only_objects_with_the_label() {
        let client = client(User::administrator());
        let object = |kind: &str, name: &str, label: &str| {
            format!("---\nkind: {kind}\napiVersion: v1\nmetadata: {{name: {name}, labels: {{a: {label}}}}}\n")
        };
        let manifest = object("ConfigMap", "one", "b")
            + &object("ConfigMap", "two", "c")
            + &object("Secret", "three", "b");
        run_with(&client, &manifest, "kubectl apply -f a.yaml");
        let line = "kubectl delete secrets,configmaps --selector a=b --ignore-not-found --wait=false";
        let deleted = "secret \"three\" deleted\nconfigmap \"one\" deleted\n";
        assert_eq!(run_with(&client, "", line), (0, deleted.to_owned()));
        assert_eq!(run_with(&client, "", line), (0, String::new()));
        assert!(client.cluster.state().get(&CONFIG_MAPS, "default", "two").is_some());
    }

    #[test]
    fn selector_reaches_all_namespaces_and_cluster_scoped_types() {
        let client = client(User::administrator());
        let manifest = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: one, namespace: kube-public, labels: {a: b}}\n---\n\
                        kind: Namespace\napiVersion: v1\nmetadata: {name: two, labels: {a: b}}\n";
        run_with(&client, manifest, "kubectl apply -f a.yaml");
        let line = "kubectl delete configmaps,namespaces --all-namespaces --selector a=b";
        let deleted = "configmap \"one\" deleted\nnamespace \"two\" deleted\n";
        assert_eq!(run_with(&client, "", line), (0, deleted.to_owned()));
    }

    #[test]
    fn commands_have_the_rights_of_their_user() {
        let (code, logs) = run_with(&client(User::anonymous()), MANIFEST, "kubectl apply -f a.yaml");
        assert_eq!(code, 1);
        assert!(
            logs.contains("Error from server (Forbidden)") && logs.contains("\"system:anonymous\""),
            "{logs}"
        );
    }

    #[test]
    fn requests_of_commands_are_logged() {
        let client = client(User::administrator());
        run_with(&client, "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}", "kubectl apply -f a.yaml");
        let log = client.kube.traffic().log.all();
        let write = log.iter().find(|request| request.method == "POST").unwrap();
        assert_eq!((&*write.path, write.status), ("/api/v1/namespaces/default/configmaps", Some(201)));
        assert!(client.cluster.state().get(&CONFIG_MAPS, "default", "x").is_some());
    }

    #[test]
    fn unknown_commands_print_usage() {
        let client = client(User::administrator());
        for (line, code, expected_text) in [
            ("helm install x", 127, "helm: command not found"),
            ("kubectl exec x", 127, "unknown command \"exec\""),
            ("kubectl get ns | wc", 127, "'|' is not supported"),
            ("kubectl apply -f none.yaml", 1, "the path \"none.yaml\" does not exist"),
            ("kubectl apply --prune -f a.yaml", 1, "unknown flag: --prune"),
            ("kubectl apply -f a.yaml", 1, "no matches for kind \"Nothing\" in version \"v1\""),
            ("kubectl get nothing", 1, "the server doesn't have a resource type \"nothing\""),
        ] {
            let (actual_code, logs) =
                run_with(&client, "kind: Nothing\napiVersion: v1\nmetadata: {name: x}", line);
            assert!(actual_code == code && logs.contains(expected_text), "{line}: {actual_code} {logs}");
            assert_eq!(logs.contains("The sandbox supports: "), code == 127, "{line}");
        }
    }

    #[test]
    fn get_prints_a_table() {
        let (code, logs) =
            run_with(&client(User::administrator()), "", "kubectl get namespaces default kube-system");
        let lines: Vec<Vec<&str>> = logs.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((code, lines.len()), (0, 3), "{logs}");
        assert_eq!(lines[0], ["NAME", "STATUS", "AGE"]);
        assert_eq!(&lines[1][..2], ["default", "Active"]);
    }
}
