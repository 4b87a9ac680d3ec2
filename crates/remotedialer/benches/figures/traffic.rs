//! The TCP target and the callers of the tunnel, which exchange known bytes and check them.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Outcome;

/// The length of the read buffer of a download, in bytes.
const BUFFER_LEN: usize = 256 * 1024;

/// The length of a small request and of its response, in bytes.
const REQUEST_LEN: usize = 100;

/// The actions of the target. Callers request one with the first byte of a connection.
const DOWNLOAD: u8 = b'd';
const UPLOAD: u8 = b'u';
const ECHO: u8 = b'e';

/// A TCP server that sends or receives `len` bytes of the pattern, or echoes.
pub(crate) struct Target {
    pub(crate) address: String,
}

impl Target {
    pub(crate) async fn start(len: u64) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, len));
            }
        });
        Ok(Self { address })
    }
}

async fn serve(mut stream: TcpStream, len: u64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    match stream.read_u8().await? {
        DOWNLOAD => send_pattern(&mut stream, len).await,
        UPLOAD => {
            let is_intact = receive_pattern(&mut stream, len).await?;
            stream.write_all(&[u8::from(is_intact)]).await
        }
        _ => {
            let mut request = [0; REQUEST_LEN - 1];
            stream.read_exact(&mut request).await?;
            stream.write_all(&[ECHO; REQUEST_LEN]).await
        }
    }
}

/// The repeating content of transfers. Its length is prime, so that shifted blocks do not match.
fn pattern() -> Vec<u8> {
    (0_u32..262_139)
        .flat_map(|index| index.wrapping_mul(2_654_435_761).to_be_bytes().into_iter().take(1))
        .collect()
}

async fn send_pattern(stream: &mut TcpStream, mut len: u64) -> std::io::Result<()> {
    let pattern = pattern();
    while len > 0 {
        let chunk_len = usize::try_from(len).unwrap_or(usize::MAX).min(pattern.len());
        stream.write_all(pattern.get(..chunk_len).unwrap_or_default()).await?;
        len -= chunk_len as u64;
    }
    Ok(())
}

async fn receive_pattern(stream: &mut TcpStream, mut len: u64) -> std::io::Result<bool> {
    let pattern = pattern();
    let mut buffer = vec![0; pattern.len()];
    let mut is_intact = true;
    while len > 0 {
        let chunk_len = usize::try_from(len).unwrap_or(usize::MAX).min(pattern.len());
        let chunk = buffer.get_mut(..chunk_len).unwrap_or_default();
        stream.read_exact(chunk).await?;
        is_intact &= pattern.starts_with(chunk);
        len -= chunk_len as u64;
    }
    Ok(is_intact)
}

/// Receives all data that the target behind `address` sends.
pub(crate) async fn download(address: &str) -> Outcome<()> {
    let mut download = Download::start(address).await?;
    download.read(1).await?;
    download.finish().await
}

/// A download that can be interrupted.
pub(crate) struct Download {
    stream: TcpStream,
    pattern: Vec<u8>,
    position: usize,
}

impl Download {
    pub(crate) async fn start(address: &str) -> Outcome<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_u8(DOWNLOAD).await?;
        Ok(Self { stream, pattern: pattern(), position: 0 })
    }

    /// Reads and checks `len` bytes.
    pub(crate) async fn read(&mut self, len: usize) -> Outcome<()> {
        let mut buffer = vec![0; len];
        self.stream.read_exact(&mut buffer).await?;
        self.check(&buffer)
    }

    fn check(&mut self, mut bytes: &[u8]) -> Outcome<()> {
        while !bytes.is_empty() {
            let expected = self.pattern.get(self.position..).unwrap_or_default();
            let len = expected.len().min(bytes.len());
            let (chunk, rest) = bytes.split_at(len);
            if !expected.starts_with(chunk) {
                return Err("received bytes differ from those sent".into());
            }
            self.position = (self.position + len) % self.pattern.len();
            bytes = rest;
        }
        Ok(())
    }

    /// Reads and checks the remaining bytes.
    pub(crate) async fn finish(mut self) -> Outcome<()> {
        let mut buffer = vec![0; BUFFER_LEN];
        loop {
            let len = self.stream.read(&mut buffer).await?;
            if len == 0 {
                return Ok(());
            }
            self.check(buffer.get(..len).unwrap_or_default())?;
        }
    }
}

/// Sends `len` bytes to the target behind `address`, which checks them.
pub(crate) async fn upload(address: &str, len: u64) -> Outcome<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_u8(UPLOAD).await?;
    send_pattern(&mut stream, len).await?;
    match stream.read_u8().await? {
        1 => Ok(()),
        _ => Err("received bytes differ from those sent".into()),
    }
}

async fn send_request(address: &str) -> Outcome<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&[ECHO; REQUEST_LEN]).await?;
    let mut response = [0; REQUEST_LEN];
    stream.read_exact(&mut response).await?;
    Ok(())
}

/// Sends small requests, each on its own connection. Returns the requests per second.
pub(crate) async fn send_requests(address: &str, count: u32, concurrency: u32) -> Outcome<f64> {
    let started = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..concurrency {
        let address = address.to_owned();
        callers.spawn(async move {
            for _ in 0..count / concurrency {
                send_request(&address).await?;
            }
            Outcome::Ok(())
        });
    }
    while let Some(result) = callers.join_next().await {
        result??;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// Median duration of small requests, one at a time, in milliseconds.
pub(crate) async fn median_latency(address: &str, count: usize) -> Outcome<f64> {
    let mut durations = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        send_request(address).await?;
        durations.push(started.elapsed());
    }
    durations.sort_unstable();
    let median = durations.get(count / 2).copied().unwrap_or(Duration::ZERO);
    Ok(median.as_secs_f64() * 1e3)
}

/// Converts a number for divisions. The figures are far below 2^32.
pub(crate) fn to_f64(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}
