//! `check`, and the warning about certificates at startup.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use norman_aks::store::{self, CredentialRow, Store, UserRow};

use super::Program;
use crate::support::audit_row;

const TLS_FLAGS: [&str; 3] = ["--tls-listen=127.0.0.1:0", "--tls-cert=cert.pem", "--tls-key=key.pem"];

#[test]
fn check_masks_secrets_and_reports_failures() {
    let program = Program::new();
    let text = program.prints(&["check", "--sandbox"]);
    for file in [
        "database: ./norman-aks-sandbox-data/norman-aks.db",
        "encryption key: ./norman-aks-sandbox-data/encryption.keys",
    ] {
        assert!(text.contains(&format!("{file} will be created at the first start")), "{file}: {text}");
    }
    assert!(!program.path().join("norman-aks-sandbox-data").exists(), "check changes nothing");

    program.prints(&["migrate", "--sandbox"]);
    program.prints(&["key", "generate", "--append", "norman-aks-sandbox-data/encryption.keys"]);
    let text = program.prints(&["check", "--sandbox", "--drain-seconds", "7"]);
    assert!(text.contains("database: reachable, schema up to date"), "{text}");
    assert!(text.contains("is active, no key is missing"), "{text}");
    let line = text.lines().find(|line| line.starts_with("drain-seconds")).unwrap();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["drain-seconds", "7", "(flag", "--drain-seconds)"]
    );

    let env = [
        ("NORMAN_AKS_DATABASE_URL", "postgres://u:canary@127.0.0.1:1/d"),
        ("NORMAN_AKS_BOOTSTRAP_TOKEN", "token-a:canary"),
    ];
    let finished = program.run_with(&["check", "--sandbox", "--database-wait-seconds=1"], &env);
    assert_eq!(finished.code, Some(1));
    let text = finished.stdout + &finished.stderr;
    for part in [
        "FAILED  database: the database is not available",
        "postgres://u:****@127.0.0.1:1/d",
        "token-a:****",
        "1 of the checks above failed",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("canary"), "{text}");
}

/// The certificate of a server, the certificate of its private authority, and the server's key, in PEM.
fn private_certificate() -> (String, String, String) {
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
fn check_reports_whether_kubeconfigs_contain_the_authority() {
    let program = Program::new();
    let (leaf, authority, key) = private_certificate();
    program.write("key.pem", &key);
    for (certificate, code, expected_parts) in [
        (
            leaf.clone(),
            0,
            &[
                "note    TLS certificate: cert.pem contains only the server certificate",
                "append",
                "setting cacerts",
            ][..],
        ),
        (format!("{leaf}{authority}"), 0, &["TLS certificate: kubeconfigs contain its authority"]),
        ("no certificate".to_owned(), 1, &["FAILED  TLS certificate"]),
    ] {
        program.write("cert.pem", &certificate);
        let finished = program.run_with(&[&["check", "--sandbox"][..], &TLS_FLAGS].concat(), &[]);
        assert_eq!(finished.code, Some(code), "{}", finished.stdout);
        let line = finished.stdout.lines().find(|line| line.contains("TLS certificate: ")).unwrap();
        assert!(expected_parts.iter().all(|part| line.contains(part)), "{line}");
    }
}

#[test]
fn serve_warns_if_kubeconfigs_lack_the_authority() {
    let program = Program::new();
    let (leaf, _, key) = private_certificate();
    program.write("key.pem", &key);
    program.write("cert.pem", &leaf);
    let mut command =
        program.command(&[&["serve", "--sandbox", "--listen=127.0.0.1:0"][..], &TLS_FLAGS].concat());
    let mut server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    // Without the warning, the line about the listener is found.
    let first = lines.find(|line| line.contains("setting cacerts") || line.contains("listening: the API"));
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(first.as_deref().unwrap_or_default().contains("setting cacerts"), "{first:?}");
}

/// Stores a credential for an Azure cloud.
fn insert_credential(program: &Program, environment: &str) {
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
        environment: Some(environment.to_owned()),
        secret: None,
        created_ms: 0,
        updated_ms: 0,
        deleted_ms: None,
        version: 1,
    };
    let (id, name) = (credential.owner.clone(), "ann".to_owned());
    let owner = UserRow { id, name, admin: false, enabled: true, created_ms: 0 };
    let url = store::sqlite_url(&program.path().join("norman-aks-data/norman-aks.db"));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Store::connect(&url, &store::Options::default()).await.unwrap();
        store::users::ensure(&store, &owner, None, |_| audit_row()).await.unwrap();
        store::credentials::insert(&store, &credential, &audit_row()).await.unwrap();
        store.close().await;
    });
}

#[test]
fn clouds_without_credentials_need_not_be_reachable() {
    let program = Program::new();
    program.prints(&["migrate"]);
    // Runs `check` with a proxy that does not exist, so that no host is reachable. Returns the output, the hosts with failures,
    // and the hosts with notes.
    let run_check = || {
        let finished = program.run_with(&["check"], &[("HTTPS_PROXY", "http://127.0.0.1:1")]);
        assert_eq!(finished.code, Some(1), "{}", finished.stdout);
        assert_eq!(finished.stderr, "norman-aks: 2 of the checks above failed\n");
        let text = finished.stdout;
        let hosts = ["FAILED", "note"].map(|mark| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(mark)?.trim_start().split_once(':'));
            lines.map(|(host, _)| host.to_owned()).collect()
        });
        (text, hosts)
    };
    let public = ["login.microsoftonline.com", "management.azure.com"];
    let china = ["login.chinacloudapi.cn", "management.chinacloudapi.cn"];
    let government = ["login.microsoftonline.us", "management.usgovcloudapi.net"];

    let (text, [failed, notes]) = run_check();
    assert_eq!(failed, public, "{text}");
    assert_eq!(notes, [china, government].concat(), "{text}");
    assert!(text.contains(" (no stored credential is for AzureChinaCloud)\n"), "{text}");
    assert!(!text.contains("caused by"), "{text}");
    insert_credential(&program, "AzureChinaCloud");
    let (text, [failed, notes]) = run_check();
    assert_eq!(failed, china, "{text}");
    assert_eq!(notes, [public, government].concat(), "{text}");
}
