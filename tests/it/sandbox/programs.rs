//! Programs that run in pods of the sandbox's clusters.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use azure_sandbox::{BuiltInImage, Container, Options};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Azure;
use super::inside::{AGENT, KubeClient, PODS, container_status};

const IMAGE: &str = "registry.example/tests/agent:1";
const TIMEOUT: Duration = Duration::from_mins(1);

/// The containers that started, in order.
struct StartedContainers(UnboundedReceiver<Container>);

impl StartedContainers {
    async fn next(&mut self) -> Container {
        tokio::time::timeout(TIMEOUT, self.0.recv()).await.expect("a program starts").unwrap()
    }

    fn is_empty(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

/// An image whose program passes its container to the test and runs until it has to stop.
fn image(sender: UnboundedSender<Container>) -> BuiltInImage {
    let run = move |container: Container| {
        let sender = sender.clone();
        let stop = container.stop.clone();
        Box::pin(async move {
            (container.log)("started");
            sender.send(container).unwrap();
            stop.cancelled().await;
        }) as _
    };
    BuiltInImage { image: "tests/agent".to_owned(), run: Arc::new(run) }
}

async fn start() -> (Azure, StartedContainers) {
    start_with(Options { control_listen: Some("127.0.0.1:0".parse().unwrap()), ..Options::default() }).await
}

async fn start_with(options: Options) -> (Azure, StartedContainers) {
    let (sender, receiver) = unbounded_channel();
    let azure = Azure::start_with_options("ready", Options { images: vec![image(sender)], ..options }).await;
    (azure, StartedContainers(receiver))
}

fn is_ready(pods: &Value) -> bool {
    container_status(pods, 0)["ready"] == true
}

/// Sends a GET request over TLS on a connection of a pod; returns the raw response.
async fn fetch(
    stream: TcpStream,
    fqdn: &str,
    authority: &[u8],
    token: &str,
    path: &str,
) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let server_name = ServerName::try_from(fqdn.to_owned()).unwrap();
    let stream = connector.connect(server_name, stream).await?;
    send_get(stream, fqdn, token, path).await
}

async fn send_get(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    fqdn: &str,
    token: &str,
    path: &str,
) -> io::Result<String> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: {fqdn}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}

#[tokio::test]
async fn program_runs_with_the_environment_and_network_of_its_pod() {
    let (azure, mut started) = start().await;
    let kube = KubeClient::new(&azure, "private-one").await;
    let data = json!({"token": BASE64_STANDARD.encode(&kube.token)});
    kube.create("/api/v1/namespaces/default/secrets", &json!({"metadata": {"name": "s"}, "data": data}))
        .await;
    let container_spec = json!({"volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}}]});
    kube.deploy(IMAGE, 2, container_spec).await;
    let (first, second) = (started.next().await, started.next().await);
    assert_ne!(first.pod, second.pod);
    assert_eq!((&*first.namespace, &first.fqdn), ("default", &kube.fqdn));
    let authority = &first.files["/ca/ca.crt"];
    assert_eq!(authority, kube.authority.as_bytes());
    let service = &first.environment["KUBERNETES_SERVICE_HOST"];
    let token = &first.environment["TOKEN"];
    for host in [service.clone(), kube.fqdn.clone()] {
        let stream = (first.connect)(host, 443).await.unwrap();
        let path = "/api/v1/namespaces/default/pods";
        let response = fetch(stream, &kube.fqdn, authority, token, path).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 200") && response.contains(&first.pod), "{response}");
    }

    let pods =
        kube.wait_until(PODS, "running", |pods| pods["items"][1]["status"]["phase"] == "Running").await;
    assert!(!is_ready(&pods), "the program decides whether its container is ready");
    (first.ready)(true);
    kube.wait_until(AGENT, "one is available", |deployment| deployment["status"]["availableReplicas"] == 1)
        .await;
    (second.ready)(true);
    kube.wait_until(AGENT, "both are available", |deployment| deployment["status"]["availableReplicas"] == 2)
        .await;
    (second.ready)(false);
    kube.wait_until(AGENT, "one is unavailable", |deployment| {
        deployment["status"]["unavailableReplicas"] == 1
    })
    .await;

    let logs = format!("/api/v1/namespaces/default/pods/{}/log", first.pod);
    let following = async { kube.get(&format!("{logs}?follow=true")).await.text };
    let deleting = async {
        (first.log)("line two");
        assert_eq!(kube.get(&format!("{logs}?tailLines=1")).await.text, "line two\n");
        assert!(kube.get(&format!("{logs}?timestamps=true")).await.text.contains("Z started\n"));
        kube.delete(AGENT).await;
        first.stop.cancelled().await;
        second.stop.cancelled().await;
    };
    let (followed, ()) =
        tokio::time::timeout(TIMEOUT, futures_util::future::join(following, deleting)).await.unwrap();
    assert_eq!(followed, "started\nline two\n");
    kube.wait_until(PODS, "the pods are gone", |pods| pods["items"].as_array().is_some_and(Vec::is_empty))
        .await;
    assert!(started.is_empty());
}

#[tokio::test]
async fn pod_cannot_reach_other_clusters_or_metadata_services() {
    let (azure, mut started) = start().await;
    let (own, other) =
        (KubeClient::new(&azure, "made-elsewhere").await, KubeClient::new(&azure, "private-one").await);
    own.deploy(IMAGE, 1, json!({})).await;
    let pod = started.next().await;
    let kubernetes_address = azure.sandbox.kubernetes_address();
    for (host, port) in [
        ("10.0.0.1", 443),
        ("127.0.0.1", kubernetes_address.port()),
        ("::ffff:127.0.0.1", kubernetes_address.port()),
    ] {
        for (target, is_reachable) in [(&own, true), (&other, false)] {
            let stream = (pod.connect)(host.to_owned(), port).await.unwrap();
            let response =
                fetch(stream, &target.fqdn, target.authority.as_bytes(), &target.token, "/version").await;
            assert_eq!(response.is_ok(), is_reachable, "{host} {}: {response:?}", target.fqdn);
        }
    }
    for (host, port) in [
        (other.fqdn.as_str(), 443),
        (own.fqdn.as_str(), 80),
        ("169.254.169.254", 80),
        ("168.63.129.16", 80),
        ("[fe80::1]", 80),
    ] {
        let result = (pod.connect)(host.to_owned(), port).await;
        assert!(result.is_err(), "{host}:{port}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut stream = (pod.connect)("127.0.0.1".to_owned(), port).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut received = String::new();
    accepted.read_to_string(&mut received).await.unwrap();
    accepted.write_all(b"after the end").await.unwrap();
    drop(accepted);
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert_eq!((&*received, &*response), ("hello", "after the end"), "each direction is closed separately");
}

#[tokio::test]
async fn program_that_returns_is_restarted_with_a_backoff() {
    let run = |container: Container| {
        (container.log)(&format!("run of {}", container.environment["HOSTNAME"]));
        Box::pin(async {}) as _
    };
    let images = vec![BuiltInImage { image: "tests/agent".to_owned(), run: Arc::new(run) }];
    let azure = Azure::start_with_options("ready", Options { images, ..Options::default() }).await;
    let kube = KubeClient::new(&azure, "made-elsewhere").await;
    kube.deploy(IMAGE, 1, json!({})).await;
    let waiting = |pods: &Value| {
        let status = container_status(pods, 0);
        status["restartCount"] == 1 && status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    };
    let pods = kube.wait_until(PODS, "the container waits for its second restart", waiting).await;
    assert_eq!(container_status(&pods, 0)["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(pods["items"][0]["status"]["phase"], "Running");
    let logs = format!(
        "/api/v1/namespaces/default/pods/{}/log",
        pods["items"][0]["metadata"]["name"].as_str().unwrap()
    );
    for path in [logs.clone(), format!("{logs}?previous=true"), format!("{logs}?follow=true")] {
        let text = kube.get(&path).await.expect(200).text;
        assert!(text.starts_with("run of "), "{path}: {text}");
    }
    let deployment = kube.get(AGENT).await.json();
    assert_eq!(deployment["status"]["unavailableReplicas"], 1);
}

#[tokio::test]
async fn changed_template_replaces_the_program() {
    let (azure, mut started) = start().await;
    let kube = KubeClient::new(&azure, "made-elsewhere").await;
    kube.deploy(IMAGE, 1, json!({"env": [{"name": "N", "value": "1"}]})).await;
    let first = started.next().await;
    (first.ready)(true);
    kube.wait_until(AGENT, "available", |deployment| deployment["status"]["availableReplicas"] == 1).await;
    let containers = json!([{"name": "agent", "image": IMAGE, "env": [{"name": "N", "value": "2"}]}]);
    let change = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    kube.send(Method::PATCH, AGENT, Some(&change)).await.expect(200);
    let second = started.next().await;
    assert_eq!(second.environment["N"], "2");
    assert!(!first.stop.is_cancelled(), "the old program runs until the new one is ready");
    (second.ready)(true);
    first.stop.cancelled().await;
    let complete = |deployment: &Value| {
        let status = &deployment["status"];
        [&status["updatedReplicas"], &status["replicas"], &status["availableReplicas"]] == [1; 3]
    };
    kube.wait_until(AGENT, "the rollout ends", complete).await;
    assert!(started.is_empty());
}

#[tokio::test]
async fn programs_start_again_after_a_sandbox_restart() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Options { state_dir: Some(directory.path().to_owned()), ..Options::default() };
    let (azure, mut started) = start_with(options()).await;
    let kube = KubeClient::new(&azure, "made-elsewhere").await;
    kube.deploy(IMAGE, 1, json!({})).await;
    let first = started.next().await;
    (first.ready)(true);
    kube.wait_until(AGENT, "available", |deployment| deployment["status"]["availableReplicas"] == 1).await;
    azure.sandbox.stop().await;
    assert!(first.stop.is_cancelled());

    let (azure, mut started) = start_with(options()).await;
    let kube = KubeClient::new(&azure, "made-elsewhere").await;
    let second = started.next().await;
    assert_eq!(second.pod, first.pod);
    let pods = kube.wait_until(PODS, "not ready at its start", |pods| !is_ready(pods)).await;
    assert_eq!(container_status(&pods, 0)["restartCount"], 1);
    (second.ready)(true);
    kube.wait_until(AGENT, "available", |deployment| deployment["status"]["availableReplicas"] == 1).await;
}

#[tokio::test]
async fn control_api_switches_programs_off_and_on() {
    let (azure, mut started) = start().await;
    let kube = KubeClient::new(&azure, "private-one").await;
    kube.deploy(IMAGE, 1, json!({})).await;
    let first = started.next().await;
    (first.ready)(true);
    kube.wait_until(PODS, "ready", is_ready).await;
    let path = "/kubernetes/agents";
    azure.send_to_control("PUT", path, Some(r#"{"enabled": false}"#)).await.expect(204);
    assert_eq!(azure.send_to_control("GET", path, None).await.json(), json!({"enabled": false}));
    first.stop.cancelled().await;
    let pods = kube.wait_until(PODS, "not ready", |pods| !is_ready(pods)).await;
    assert_eq!(pods["items"][0]["metadata"]["name"], first.pod, "the pod remains");
    (first.ready)(true);
    assert!(!is_ready(&kube.get(PODS).await.json()), "a stopped program has no effect");
    assert!(started.is_empty());
    azure.send_to_control("PUT", path, Some(r#"{"enabled": true}"#)).await.expect(204);
    assert_eq!(started.next().await.pod, first.pod);

    let clusters = azure.send_to_control("GET", "/kubernetes/clusters", None).await.json();
    let listed = clusters.as_array().unwrap().iter().find(|cluster| cluster["fqdn"] == *kube.fqdn).unwrap();
    assert_eq!((&listed["name"], &listed["found"]), (&json!("private-one"), &json!(false)));
    assert_eq!(listed["address"], azure.sandbox.kubernetes_address().to_string());
}

#[tokio::test]
async fn container_waits_for_its_secret_and_its_image() {
    let (azure, mut started) = start().await;
    let kube = KubeClient::new(&azure, "made-elsewhere").await;
    let images = |unpullable: Value| json!({ "unpullable": unpullable }).to_string();
    azure
        .send_to_control("PUT", "/kubernetes/images", Some(&images(json!(["tests/agent"]))))
        .await
        .expect(204);
    let env = json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a"}}}]});
    kube.deploy(IMAGE, 1, env).await;
    let reason = |pods: &Value| container_status(pods, 0)["state"]["waiting"]["reason"].clone();
    let pods = kube.wait_until(PODS, "no image", |pods| reason(pods) == "ImagePullBackOff").await;
    assert_eq!(pods["items"][0]["status"]["phase"], "Pending");
    assert!(started.is_empty());
    assert_eq!(
        azure.send_to_control("GET", "/kubernetes/images", None).await.json(),
        json!({"unpullable": ["tests/agent"]})
    );
    azure.control().set_unpullable_images(Vec::new());
    let pods = kube.wait_until(PODS, "no secret", |pods| reason(pods) == "CreateContainerConfigError").await;
    assert_eq!(container_status(&pods, 0)["state"]["waiting"]["message"], "secret \"s\" not found");
    kube.create(
        "/api/v1/namespaces/default/secrets",
        &json!({"metadata": {"name": "s"}, "stringData": {"a": "b"}}),
    )
    .await;
    assert_eq!(started.next().await.environment["A"], "b");
}

#[tokio::test]
async fn control_api_cuts_and_slows_connections_of_pods() {
    let (azure, mut started) = start().await;
    let kube = KubeClient::new(&azure, "made-elsewhere").await;
    kube.deploy(IMAGE, 1, json!({})).await;
    let pod = started.next().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let connect = async || {
        let stream = (pod.connect)("localhost".to_owned(), port).await.unwrap();
        (stream, server.accept().await.unwrap().0)
    };
    let (mut pod_side, mut server_side) = connect().await;
    assert_eq!(azure.send_to_control("GET", "/kubernetes/network", None).await.json()["connections"], 1);
    azure.send_to_control("DELETE", "/kubernetes/network/connections", None).await.expect(204);
    let mut byte = [0];
    assert!(pod_side.read_exact(&mut byte).await.is_err());
    assert!(server_side.read_exact(&mut byte).await.is_err());

    let (mut pod_side, mut server_side) = connect().await;
    let limit = r#"{"read_bytes_per_second": 1000}"#;
    azure.send_to_control("PUT", "/kubernetes/network", Some(limit)).await.expect(204);
    server_side.write_all(&[1]).await.unwrap();
    pod_side.read_exact(&mut byte).await.unwrap();
    let began = std::time::Instant::now();
    server_side.write_all(&[1; 500]).await.unwrap();
    pod_side.read_exact(&mut [0; 500]).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    azure
        .send_to_control("PUT", "/kubernetes/network", Some(r#"{"read_bytes_per_second": null}"#))
        .await
        .expect(204);
    let sending = async { server_side.write_all(&vec![1; 1 << 20]).await.unwrap() };
    let mut received = vec![0; 1 << 20];
    let receiving = async { pod_side.read_exact(&mut received).await.unwrap() };
    tokio::time::timeout(TIMEOUT, futures_util::future::join(sending, receiving))
        .await
        .expect("at full speed");
}
