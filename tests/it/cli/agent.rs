//! `agent`: the executable, run as in a pod, and a server in the test that it connects to.

use std::convert::Infallible;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use remotedialer::{CloseCode, Session, SessionConfig, SessionError, upgrade};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::Program;
use crate::support::program::log_lines;

/// A timeout that no step reaches, even on a busy machine.
const STEP_TIMEOUT: Duration = Duration::from_mins(1);

const TOKEN: &str = "canary-registration-token";

/// The variables of the agent's pod, without the URL of the server.
fn pod_variables(api_port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("CATTLE_TOKEN", TOKEN.to_owned()),
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()),
        ("KUBERNETES_SERVICE_PORT", api_port.to_string()),
    ]
}

#[test]
fn invalid_settings_of_the_agent_are_named_with_remedy() {
    let program = Program::new();
    let fails = |server: &str| {
        let mut environment = pod_variables(443);
        environment.push(("CATTLE_SERVER", server.to_owned()));
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let finished = program.run_with(&["agent", "--listen=127.0.0.1:0"], &environment);
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        assert!(!finished.stderr.contains("canary"), "{}", finished.stderr);
        finished.stderr
    };
    let error = fails("");
    assert!(
        error.starts_with("norman-aks: invalid settings of the agent\n  caused by: the server's"),
        "{error}"
    );
    let error = fails("http://norman.example.com");
    assert!(
        error.contains("CATTLE_SERVER contains an http:// URL") && error.contains("`server-url`"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(program.path()).unwrap().count(), 0, "the agent has no database");
}

/// A running agent. Killed when dropped.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A server for agents. Its certificate, for `localhost`, is in the file `ca.pem` of the program's directory.
struct Server {
    port: u16,
    sessions: mpsc::UnboundedReceiver<Session>,
    tokens: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(program: &Program) -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        program.write("ca.pem", &certified.cert.pem());
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let tls = serve::tls(vec![certified.cert.der().clone()], key.into()).unwrap();
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, sessions) = mpsc::unbounded_channel();
        let tokens = Arc::<Mutex<Vec<String>>>::default();
        let (acceptor, received_tokens) = (TlsAcceptor::from(tls), Arc::clone(&tokens));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, received_tokens, sender) =
                    (acceptor.clone(), Arc::clone(&received_tokens), sender.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        accept_agent(TokioIo::new(stream), received_tokens, sender).await;
                    }
                });
            }
        });
        Self { port, sessions, tokens }
    }
}

async fn accept_agent<I>(io: I, tokens: Arc<Mutex<Vec<String>>>, sessions: mpsc::UnboundedSender<Session>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        let token =
            request.headers().get(upgrade::TOKEN_HEADER).map(|token| token.to_str().unwrap().to_owned());
        tokens.lock().unwrap().push(token.unwrap_or_default());
        let response = upgrade::response(request.method(), request.headers());
        let sessions = sessions.clone();
        async move {
            let Ok(response) = response else {
                let rejected = Response::builder().status(StatusCode::NOT_FOUND).body(String::new());
                return Ok::<_, Infallible>(rejected.unwrap());
            };
            tokio::spawn(async move {
                let stream = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
                let (session, driver) = Session::server(stream, SessionConfig::server());
                sessions.send(session).ok();
                driver.await;
            });
            Ok(response.map(|()| String::new()))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
    connection.with_upgrades().await.ok();
}

/// Status and body of a health check.
async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    format!("{} {}", head.split(' ').nth(1).unwrap(), body.trim_end())
}

/// Waits until the log, in JSON, has a line with this message; returns the line.
async fn wait_for_log_line(program: &Program, message: &str) -> serde_json::Value {
    let search = tokio::time::timeout(STEP_TIMEOUT, async {
        loop {
            let log = std::fs::read_to_string(program.path().join("log")).unwrap();
            let complete = log.rfind('\n').map_or("", |end| &log[..end]);
            let line = log_lines(complete)
                .into_iter()
                .find(|line| line["message"].as_str().is_some_and(|text| text.starts_with(message)));
            if let Some(line) = line {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    search.await.unwrap_or_else(|_| panic!("no line {message:?}"))
}

#[tokio::test]
async fn agent_connects_with_system_roots_and_stops_gracefully() {
    let program = Program::new();
    let mut server = Server::start(&program).await;
    let api_server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = program.command(&["agent", "--health-listen", "127.0.0.1:0", "--log-format", "json"]);
    command
        .envs(pod_variables(api_server.local_addr().unwrap().port()))
        .env("CATTLE_SERVER", format!("https://localhost:{}/ignored", server.port))
        .env("SSL_CERT_FILE", "ca.pem")
        .env("NORMAN_AKS_API_SERVER", "name.azmk8s.io:443");
    let log = std::fs::File::create(program.path().join("log")).unwrap();
    let mut agent = Agent(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());

    let session = tokio::time::timeout(STEP_TIMEOUT, server.sessions.recv()).await.unwrap().unwrap();
    assert_eq!(*server.tokens.lock().unwrap(), [TOKEN]);
    let mut connection = session.dial("tcp", "name.azmk8s.io:443").unwrap();
    connection.write_all(b"hello").await.unwrap();
    connection.flush().await.unwrap();
    let (mut accepted, _) = tokio::time::timeout(STEP_TIMEOUT, api_server.accept()).await.unwrap().unwrap();
    let mut word = [0; 5];
    tokio::time::timeout(STEP_TIMEOUT, accepted.read_exact(&mut word)).await.unwrap().unwrap();
    assert_eq!(&word, b"hello");

    wait_for_log_line(&program, "connected to https://localhost:").await;
    let address =
        wait_for_log_line(&program, "listening: health checks").await["address"].as_str().unwrap().to_owned();
    for (path, expected) in [("/readyz", "200 ok"), ("/healthz", "200 ok"), ("/livez", "200 ok")] {
        assert_eq!(get(&address, path).await, expected, "{path}");
    }
    program.prints(&["healthcheck", "--health-listen", &address]);

    let pid = agent.0.id().to_string();
    assert!(
        Command::new("/bin/sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).status().unwrap().success()
    );
    wait_for_log_line(&program, "stopping: 1 open connection(s) may finish").await;
    assert!(get(&address, "/readyz").await.starts_with("503 stopping: "));
    drop(connection);
    let reason = tokio::time::timeout(STEP_TIMEOUT, session.closed()).await.unwrap();
    assert!(matches!(reason, SessionError::ClosedByPeer { code: CloseCode::GOING_AWAY, .. }), "{reason:?}");
    let status = tokio::task::spawn_blocking(move || agent.0.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));

    let log = std::fs::read_to_string(program.path().join("log")).unwrap();
    assert!(!log.contains(TOKEN), "{log}");
    let lines = log_lines(&log);
    assert_eq!(lines[0]["message"], "agent starting");
    assert_eq!(lines[0]["server"], format!("https://localhost:{}", server.port));
    assert!(lines.iter().all(|line| line["level"] == "INFO"), "{log}");
}
