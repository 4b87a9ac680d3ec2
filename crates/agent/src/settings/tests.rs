//! Settings from variables and files.

use std::collections::BTreeMap;

use super::*;

const CHECKSUM: &str = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef";

/// The variables of a complete manifest with `changes`; an empty value unsets a variable.
fn variables(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let manifest = [
        (SERVER, "https://rancher.example.com"),
        (TOKEN, "canary-token"),
        (KUBERNETES_HOST, "10.0.0.1"),
        (KUBERNETES_PORT, "443"),
    ];
    manifest.iter().chain(changes).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read_settings(changes: &[(&str, &str)], files: &[(&str, &[u8])]) -> Result<Settings, SettingsError> {
    let variables = variables(changes);
    let file = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, content)| content.to_vec());
    Settings::from_environment(|name| variables.get(name).cloned(), file)
}

/// The message for invalid settings.
fn error_message(changes: &[(&str, &str)]) -> String {
    read_settings(changes, &[]).unwrap_err().to_string()
}

#[test]
fn manifest_variables_are_read() {
    let settings = read_settings(
        &[
            (CA_CHECKSUM, CHECKSUM),
            (API_SERVER, "Name.azmk8s.io:443"),
            (KUBERNETES_HOST, "fd00::1"),
            (KUBERNETES_PORT, "6443"),
        ],
        &[],
    );
    let settings = settings.unwrap();
    assert_eq!(settings.server(), "https://rancher.example.com");
    assert_eq!(settings.checksum(), Some(&*CHECKSUM.to_lowercase()));
    assert_eq!(settings.allowed_address().as_deref(), Some("name.azmk8s.io:443"));
    assert_eq!(settings.api_server(), "[fd00::1]:6443");
    assert_eq!(settings.proxy(), None);
    assert_eq!(settings.token.expose_secret(), "canary-token");
}

#[test]
fn files_of_the_mounted_secret_override_variables() {
    let files: [(&str, &[u8]); 2] =
        [(SERVER_FILE, b"https://other.example.com:8443\n"), (TOKEN_FILE, b"new\n")];
    let settings = read_settings(&[], &files).unwrap();
    assert_eq!(settings.server(), "https://other.example.com:8443");
    assert_eq!(settings.token.expose_secret(), "new");

    let settings = read_settings(&[], &[(SERVER_FILE, b"\n"), (TOKEN_FILE, b"")]).unwrap();
    assert_eq!(settings.server(), "https://rancher.example.com", "an empty file is treated as missing");
    let error = read_settings(&[], &[(TOKEN_FILE, b"\xff")]).unwrap_err();
    assert_eq!(error, SettingsError::NotText(TOKEN_FILE));
}

#[test]
fn only_host_and_port_of_the_server_url_are_used() {
    for (url, server) in [
        ("https://a.example.com/prefix?x=y", "https://a.example.com"),
        ("https://A.example.com:443/", "https://a.example.com"),
        ("https://user:canary@a.example.com:8443", "https://a.example.com:8443"),
        ("https://[fd00::2]/", "https://[fd00::2]"),
        ("https://10.1.2.3:1", "https://10.1.2.3:1"),
    ] {
        assert_eq!(read_settings(&[(SERVER, url)], &[]).unwrap().server(), server);
    }
}

#[test]
fn http_url_is_rejected_with_remedy() {
    let error = error_message(&[(SERVER, "http://rancher.example.com")]);
    assert!(
        error.starts_with("CATTLE_SERVER contains an http:// URL") && error.contains("`server-url`"),
        "{error}"
    );
    let file: [(&str, &[u8]); 1] = [(SERVER_FILE, b"http://a")];
    let error = read_settings(&[], &file).unwrap_err().to_string();
    assert!(error.starts_with("/cattle-credentials/url contains an http:// URL"), "{error}");
}

#[test]
fn missing_and_invalid_values_are_named_with_remedy() {
    for (name, value, expected) in [
        (SERVER, "", "CATTLE_SERVER is not set, and /cattle-credentials/url is missing or empty"),
        (
            SERVER,
            "rancher.example.com",
            "CATTLE_SERVER does not contain the URL of a server; use https://host",
        ),
        (SERVER, "rancher.example.com:443", "CATTLE_SERVER does not contain the URL"),
        (SERVER, "wss://rancher.example.com", "CATTLE_SERVER does not contain the URL"),
        (SERVER, "https://", "CATTLE_SERVER does not contain the URL"),
        (TOKEN, " ", "CATTLE_TOKEN is not set, and /cattle-credentials/token is missing or empty"),
        (TOKEN, "a\nb", "the registration token in CATTLE_TOKEN contains invalid characters"),
        (CA_CHECKSUM, "abc", "CATTLE_CA_CHECKSUM is \"abc\", which is not 64 hexadecimal digits"),
        (KUBERNETES_HOST, "", "KUBERNETES_SERVICE_HOST is not set; run the agent in a pod"),
        (KUBERNETES_PORT, "", "KUBERNETES_SERVICE_PORT is not set; run the agent in a pod"),
        (KUBERNETES_PORT, "tcp://10.0.0.1:443", "KUBERNETES_SERVICE_PORT is \"tcp://10.0.0.1:443\""),
        (KUBERNETES_PORT, "0", "KUBERNETES_SERVICE_PORT is \"0\""),
        (KUBERNETES_PORT, "+443", "KUBERNETES_SERVICE_PORT is \"+443\""),
        (API_SERVER, "name.azmk8s.io", "NORMAN_AKS_API_SERVER is \"name.azmk8s.io\", which is not host:port"),
        (API_SERVER, "https://name.azmk8s.io:443", "NORMAN_AKS_API_SERVER is"),
    ] {
        let error = error_message(&[(name, value)]);
        assert!(error.contains(expected), "{name}={value}: {error}");
    }
}

#[test]
fn proxy_is_used_unless_the_server_is_exempt() {
    let proxy_of = |changes: &[(&str, &str)]| read_settings(changes, &[]).unwrap().proxy();
    assert_eq!(proxy_of(&[("HTTPS_PROXY", "http://u:p@proxy:3128")]).as_deref(), Some("http://proxy:3128"));
    assert_eq!(proxy_of(&[("https_proxy", "https://proxy")]).as_deref(), Some("https://proxy"));
    assert_eq!(proxy_of(&[("HTTPS_PROXY", "proxy:3128")]).as_deref(), Some("http://proxy:3128"));
    let upper_and_lower = [("HTTPS_PROXY", "http://upper:1"), ("https_proxy", "http://lower:1")];
    assert_eq!(proxy_of(&upper_and_lower).as_deref(), Some("http://upper:1"));
    for (server, no_proxy, is_used) in [
        ("rancher.example.com", ".svc,example.com", false),
        ("rancher.example.com", ".example.com", false),
        ("rancher.example.com", "rancher.example.com", false),
        ("rancher.example.com", "ancher.example.com, 10.0.0.0/8", true),
        ("rancher.example.com", "*", false),
        ("10.1.2.3", "10.1.0.0/16", false),
        ("10.1.2.3", "10.1.2.3", false),
        ("10.1.2.3", "10.2.0.0/16", true),
        ("[fd00::2]", "fd00::/8", false),
    ] {
        let url = format!("https://{server}");
        for name in NO_PROXY {
            let changes = [(SERVER, &*url), ("HTTPS_PROXY", "http://proxy:3128"), (name, no_proxy)];
            assert_eq!(proxy_of(&changes).is_some(), is_used, "{server} {name}={no_proxy}");
        }
    }
}

#[test]
fn invalid_proxy_is_rejected_instead_of_bypassed() {
    for value in ["socks5://canary@proxy:1080", "http://u:canary@", "http://canary/ /", "ftp://canary"] {
        for name in HTTPS_PROXY {
            let error = error_message(&[(name, value)]);
            assert!(
                error.starts_with(&format!("{name} does not contain the URL of an HTTP proxy; use")),
                "{error}"
            );
            assert!(!error.contains("canary"), "{error}");
        }
    }
}

#[test]
fn debug_and_redacted_texts_omit_secrets() {
    let settings = read_settings(&[("HTTPS_PROXY", "http://user:canary-proxy@proxy:3128")], &[]).unwrap();
    let printed = format!("{settings:?} {settings:#?}");
    assert!(printed.contains("http://proxy:3128") && !printed.contains("canary"), "{printed}");
    assert_eq!(settings.redact("x canary-token y"), "x **** y");
}
