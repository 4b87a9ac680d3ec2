//! A minimal HTTP/1.1 client, so that measurements show the cost of the server.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::error::Result;

pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of a header; `name` is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The bytes of a request.
pub(crate) fn request(method: &str, target: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    request_with_headers(method, target, token, "", body)
}

/// The bytes of a request with further headers, each ending with a line break.
pub(crate) fn request_with_headers(
    method: &str,
    target: &str,
    token: Option<&str>,
    headers: &str,
    body: &str,
) -> Vec<u8> {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let content = match body.len() {
        0 => String::new(),
        length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
    };
    format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}{headers}{content}\r\n{body}")
        .into()
}

/// Sends a request on a new connection.
pub(crate) async fn call(address: SocketAddr, request: &[u8]) -> Result<Response> {
    Connection::open(address).await?.call(request).await
}

/// A persistent connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(256 * 1024) })
    }

    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<Response> {
        let (status, head_len) = self.exchange(request).await?;
        let body = self.received.split_off(head_len);
        Ok(Response { status, head: String::from_utf8_lossy(&self.received).into_owned(), body })
    }

    /// Sends a request and receives the response; returns its status and the length of its head in `received`.
    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, usize)> {
        const HEAD_END: &[u8] = b"\r\n\r\n";
        self.received.clear();
        self.stream.write_all(request).await?;
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err("the server closed the connection".into());
            }
            let Some(end) = self.received.windows(HEAD_END.len()).position(|window| window == HEAD_END)
            else {
                continue;
            };
            let (status, body_len) = parse_head(self.received.get(..end).unwrap_or_default())?;
            let head_len = end + HEAD_END.len();
            while self.received.len() < head_len + body_len {
                if self.stream.read_buf(&mut self.received).await? == 0 {
                    return Err("the server closed the connection in the middle of a response".into());
                }
            }
            return Ok((status, head_len));
        }
    }
}

/// Parses the status and the length of the body. Our servers always send the length, with its name in lower case.
fn parse_head(head: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(head)?;
    let status: u16 = head.get(9..12).ok_or("response without status")?.parse()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => Ok((status, length.parse()?)),
        None if matches!(status, 204 | 304) => Ok((status, 0)),
        None => Err(format!("response without length: {head}").into()),
    }
}

/// A request, and the expected length of the response body.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) request: Vec<u8>,
    pub(crate) body_length: usize,
}

impl Load {
    /// Repeats the request on several connections; returns the responses per second.
    pub(crate) async fn run_round(
        self: &Rc<Self>,
        connection_count: usize,
        duration: Duration,
    ) -> Result<f64> {
        let mut connections = Vec::with_capacity(connection_count);
        for _ in 0..connection_count {
            let mut connection = Connection::open(self.address).await?;
            self.send_once(&mut connection).await?;
            connections.push(connection);
        }
        let started = Instant::now();
        let end = started + duration;
        let tasks = LocalSet::new();
        let senders: Vec<_> = connections
            .into_iter()
            .map(|mut connection| {
                let load = Rc::clone(self);
                tasks.spawn_local(async move {
                    let mut responses = 0.0;
                    while Instant::now() < end {
                        load.send_once(&mut connection).await?;
                        responses += 1.0;
                    }
                    Result::Ok(responses)
                })
            })
            .collect();
        tasks.await;
        let elapsed_seconds = started.elapsed().as_secs_f64();
        let mut responses = 0.0;
        for task in senders {
            responses += task.await??;
        }
        Ok(responses / elapsed_seconds)
    }

    async fn send_once(&self, connection: &mut Connection) -> Result<()> {
        let (status, head_len) = connection.exchange(&self.request).await?;
        let length = connection.received.len() - head_len;
        if status != 200 || length != self.body_length {
            return Err(format!("unexpected response: status {status} with {length} bytes").into());
        }
        Ok(())
    }
}
