//! A flood of idle HTTP/2 connections of one address without a token, against `norman-aks serve` as it is built, and a
//! good client of another address beside it. Connections that the server closes come back after a pause.

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

use crate::Outcome;
use crate::client::{Connection, call, request};
use crate::process::{NORMAN_AKS, Process};
use crate::table::{Promise, Table};

const FLOOD: usize = 4_200;
const TIME: Duration = Duration::from_mins(1);
/// Before a closed connection comes back.
const PAUSE: Duration = Duration::from_secs(2);
/// Between two requests of the good client.
const INTERVAL: Duration = Duration::from_millis(20);
/// A request that takes longer has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A client's preface of HTTP/2, its settings, and `GET /livez` on stream 1.
const HTTP2_LIVEZ: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x0d\x01\x05\x00\x00\x00\x01\x82\x86\x04\x06/livez\x01\x01x";

pub(crate) async fn measure(table: &mut Table, folder: &Path) -> Outcome<()> {
    table.section("4,200 idle HTTP/2 connections of one address without a token for 60 s, and a good client");
    if raise_descriptor_limit() < FLOOD as u64 + 100 {
        return Err("this process may open too few files for the flood: ulimit -n".into());
    }
    let data = folder.join("flood");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &data.display().to_string()];
    let mut process = Process::start(Path::new(NORMAN_AKS), &arguments, &folder.join("flood.log"))?;
    let address: SocketAddr = process.word_after("listens on http://")?.parse()?;
    let token = std::fs::read_to_string(data.join("admin-token"))?;
    let flood = Flood::start(address)?;
    while flood.opened.load(Ordering::Relaxed) < FLOOD {
        tokio::time::sleep(INTERVAL).await;
    }
    let good = ask(address, token.trim()).await;
    let opened = flood.end()?;
    let percentile = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank"
        )]
        let rank = (good.milliseconds.len() as f64 * share) as usize;
        good.milliseconds.get(rank).or(good.milliseconds.last()).copied().unwrap_or(f64::NAN)
    };
    let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    table.line("requests of the good client that failed", "", Promise::Exactly(0.0), count(good.failed));
    table.line(
        "requests of the good client: 99th percentile",
        "ms",
        Promise::AtMost(250.0),
        percentile(0.99),
    );
    table.line("requests of the good client: median", "ms", Promise::None, percentile(0.5));
    table.line("requests of the good client: slowest", "ms", Promise::None, percentile(1.0));
    table.line("requests of the good client", "", Promise::None, count(good.milliseconds.len()));
    table.line("connections that the flood opened", "", Promise::None, count(opened));
    if let Some(memory) = process.resident_mb() {
        table.line("memory of the server (RSS) at the end", "MB", Promise::None, memory);
    }
    Ok(())
}

/// What the good client saw; times in order.
struct Good {
    milliseconds: Vec<f64>,
    failed: usize,
}

/// Asks in turn on a new connection without a token, on a new one with it, and on one that is kept.
async fn ask(address: SocketAddr, token: &str) -> Good {
    let livez = request("GET", "/livez", None, "");
    let tokens = request("GET", "/v3/tokens", Some(token), "");
    let mut good = Good { milliseconds: Vec::new(), failed: 0 };
    let mut kept = Connection::open(address).await.ok();
    let started = Instant::now();
    for number in 0_u32.. {
        if started.elapsed() >= TIME {
            break;
        }
        let asked = Instant::now();
        let answer = async {
            match (number % 3, kept.as_mut()) {
                (0, _) => call(address, &livez).await,
                (1, _) => call(address, &tokens).await,
                (_, Some(kept)) => kept.call(&tokens).await,
                (_, None) => Err("no connection".into()),
            }
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
            Ok(Ok(answer)) if answer.status == 200 => {
                good.milliseconds.push(asked.elapsed().as_secs_f64() * 1_000.0);
            }
            _ => {
                good.failed += 1;
                kept = Connection::open(address).await.ok();
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
    good.milliseconds.sort_by(f64::total_cmp);
    good
}

/// The flood, in a thread of its own so that it does not hold up the good client.
struct Flood {
    opened: Arc<AtomicUsize>,
    stop: CancellationToken,
    thread: thread::JoinHandle<()>,
}

impl Flood {
    fn start(address: SocketAddr) -> Outcome<Self> {
        let (opened, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (counter, stopping) = (Arc::clone(&opened), stop.clone());
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                for _ in 0..FLOOD {
                    let counter = Arc::clone(&counter);
                    tokio::spawn(async move {
                        loop {
                            // Whatever becomes of one, it comes back.
                            let _ = hold(address, &counter).await;
                            tokio::time::sleep(PAUSE).await;
                        }
                    });
                }
                stopping.cancelled().await;
            });
        });
        Ok(Self { opened, stop, thread })
    }

    /// Ends it; how many connections it opened in all.
    fn end(self) -> Outcome<usize> {
        self.stop.cancel();
        self.thread.join().map_err(|_| "the flood panicked")?;
        Ok(self.opened.load(Ordering::Relaxed))
    }
}

/// Opens a connection, sends one request, and keeps it until the server closes it.
async fn hold(address: SocketAddr, opened: &AtomicUsize) -> std::io::Result<()> {
    let mut stream = connect(address).await?;
    opened.fetch_add(1, Ordering::Relaxed);
    stream.write_all(HTTP2_LIVEZ).await?;
    let mut received = [0; 1_024];
    while stream.read(&mut received).await? > 0 {}
    Ok(())
}

/// From another address than the good client's, where the system has all of 127.0.0.0/8.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if cfg!(target_os = "linux") {
        socket.bind(SocketAddr::from(([127, 0, 0, 2], 0)))?;
    }
    socket.connect(address).await
}
