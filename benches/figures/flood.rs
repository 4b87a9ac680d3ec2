//! A flood of idle HTTP/2 connections from one address without a token, and a legitimate client with another address.
//! The server is the built `norman-aks serve`. Connections that the server closes are reopened after a pause.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serve::raise_descriptor_limit;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::client::{Connection, call, request};
use crate::error::Result;
use crate::process::Process;
use crate::table::{Table, Target};

const CONNECTIONS: usize = 4_200;
const DURATION: Duration = Duration::from_mins(1);
/// The time until a closed connection is reopened.
const REOPEN_DELAY: Duration = Duration::from_secs(2);
/// The interval between two requests of the client.
const REQUEST_INTERVAL: Duration = Duration::from_millis(20);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The HTTP/2 preface and settings of a client, and `GET /livez` on stream 1.
const HTTP2_LIVEZ: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x0d\x01\x05\x00\x00\x00\x01\x82\x86\x04\x06/livez\x01\x01x";

pub(crate) async fn measure(table: &mut Table, directory: &Path) -> Result<()> {
    table.section(
        "4,200 idle HTTP/2 connections of one address without a token for 60 s, and a legitimate client",
    );
    if raise_descriptor_limit() < CONNECTIONS as u64 + 100 {
        return Err("this process may open too few files (ulimit -n)".into());
    }
    let (process, address) = Process::serve(directory, "flood")?;
    let token = std::fs::read_to_string(directory.join("flood/admin-token"))?;
    let flood = Flood::start(address)?;
    while flood.opened.load(Ordering::Relaxed) < CONNECTIONS {
        tokio::time::sleep(REQUEST_INTERVAL).await;
    }
    let client = ClientResults::measure(address, token.trim()).await;
    let opened = flood.stop()?;
    let to_figure = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    let label = |suffix: &str| format!("requests of the legitimate client{suffix}");
    table.target(&label(" that failed"), "", Target::Exactly(0.0), to_figure(client.failed));
    table.target(&label(": 99th percentile"), "ms", Target::AtMost(250.0), client.percentile_ms(99));
    table.info(&label(": median"), "ms", client.percentile_ms(50));
    table.info(&label(": slowest"), "ms", client.percentile_ms(100));
    table.info(&label(""), "", to_figure(client.latencies_ms.len()));
    table.info("connections that the flood opened", "", to_figure(opened));
    if let Some(memory) = process.resident_mb() {
        table.info("memory of the server (RSS) at the end", "MB", memory);
    }
    Ok(())
}

/// The results of the legitimate client, with the latencies in ascending order.
struct ClientResults {
    latencies_ms: Vec<f64>,
    failed: usize,
}

impl ClientResults {
    /// Sends requests in turn on a new connection without the token, on a new one with it, and on a persistent one with it.
    async fn measure(address: SocketAddr, token: &str) -> Self {
        let livez = request("GET", "/livez", None, "");
        let tokens = request("GET", "/v3/tokens", Some(token), "");
        let mut client = Self { latencies_ms: Vec::new(), failed: 0 };
        let mut persistent = Connection::open(address).await.ok();
        let end = Instant::now() + DURATION;
        for number in 0_u32.. {
            let sent = Instant::now();
            if sent >= end {
                break;
            }
            let response = async {
                match (number % 3, persistent.as_mut()) {
                    (0, _) => call(address, &livez).await,
                    (1, _) => call(address, &tokens).await,
                    (_, Some(connection)) => connection.call(&tokens).await,
                    (_, None) => Err("no connection".into()),
                }
            };
            match tokio::time::timeout(REQUEST_TIMEOUT, response).await {
                Ok(Ok(response)) if response.status == 200 => {
                    client.latencies_ms.push(sent.elapsed().as_secs_f64() * 1_000.0);
                }
                _ => {
                    client.failed += 1;
                    persistent = Connection::open(address).await.ok();
                }
            }
            tokio::time::sleep(REQUEST_INTERVAL).await;
        }
        client.latencies_ms.sort_by(f64::total_cmp);
        client
    }

    fn percentile_ms(&self, percent: usize) -> f64 {
        let rank = self.latencies_ms.len() * percent / 100;
        self.latencies_ms.get(rank).or(self.latencies_ms.last()).copied().unwrap_or(f64::NAN)
    }
}

/// The flood, in a thread of its own so that it does not delay the client.
struct Flood {
    opened: Arc<AtomicUsize>,
    stop: CancellationToken,
    thread: thread::JoinHandle<()>,
}

impl Flood {
    fn start(address: SocketAddr) -> Result<Self> {
        let (opened, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (counter, stopping) = (Arc::clone(&opened), stop.clone());
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                for _ in 0..CONNECTIONS {
                    let counter = Arc::clone(&counter);
                    tokio::spawn(async move {
                        loop {
                            // The connection is reopened after an error, or when the server closes it.
                            let _ = hold(address, &counter).await;
                            tokio::time::sleep(REOPEN_DELAY).await;
                        }
                    });
                }
                stopping.cancelled().await;
            });
        });
        Ok(Self { opened, stop, thread })
    }

    /// Stops the flood; returns the number of connections that it opened.
    fn stop(self) -> Result<usize> {
        self.stop.cancel();
        self.thread.join().map_err(|_| "the flood panicked")?;
        Ok(self.opened.load(Ordering::Relaxed))
    }
}

/// Opens a connection, sends one request, and keeps the connection until the server closes it.
async fn hold(address: SocketAddr, opened: &AtomicUsize) -> std::io::Result<()> {
    let mut stream = connect(address).await?;
    opened.fetch_add(1, Ordering::Relaxed);
    stream.write_all(HTTP2_LIVEZ).await?;
    let mut received = [0; 1_024];
    while stream.read(&mut received).await? > 0 {}
    Ok(())
}

/// Connects from another address than the client's, if all of 127.0.0.0/8 is local.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if cfg!(target_os = "linux") {
        socket.bind(SocketAddr::from(([127, 0, 0, 2], 0)))?;
    }
    socket.connect(address).await
}
