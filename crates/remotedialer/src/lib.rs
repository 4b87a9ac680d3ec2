//! Both sides of Rancher's tunnel protocol, `remotedialer`.
//!
//! A client in a private network opens one WebSocket to a server. Through it, the server requests connections to addresses and
//! exchanges their bytes. A [`Connection`] is `AsyncRead + AsyncWrite`, so TLS and HTTP can run through it end to end. Both
//! sides are compatible with the original, the Go module `github.com/rancher/remotedialer` (tested with v0.6.1), which
//! Rancher's cluster agent uses.
//!
//! - [`Session::server`] accepts a session on a stream that an HTTP server has upgraded; [`upgrade`] checks the request and
//!   creates the response.
//! - [`connect`] and [`connect_over`] connect a client. Its [`Dialer`] decides which targets the server may reach.
//! - [`join`] copies between a connection and another stream. [`Stats`] are counters for metrics. [`tune_socket`] is for TCP
//!   connections that a server accepts.
//!
//! Each session is run by a future, the [`SessionDriver`], which the caller spawns:
//!
//! ```
//! use remotedialer::{Session, SessionConfig, Target};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // In place of a WebSocket after its handshake.
//!     let (server_stream, client_stream) = tokio::io::duplex(64 * 1024);
//!
//!     // The client reaches one address, which sends a greeting.
//!     let dialer = |target: Target| async move {
//!         if target.network != "tcp" || target.address != "10.0.0.1:443" {
//!             return Err(remotedialer::denied());
//!         }
//!         let (near, mut far) = tokio::io::duplex(1024);
//!         tokio::spawn(async move { far.write_all(b"hello").await });
//!         Ok(near)
//!     };
//!     let (_client, driver) = Session::client(client_stream, SessionConfig::client(), dialer);
//!     tokio::spawn(driver);
//!
//!     // The server dials through the client.
//!     let (session, driver) = Session::server(server_stream, SessionConfig::server());
//!     tokio::spawn(driver);
//!     let mut connection = session.dial("tcp", "10.0.0.1:443")?;
//!     let mut greeting = String::new();
//!     connection.read_to_string(&mut greeting).await?;
//!     assert_eq!(greeting, "hello");
//!
//!     let denied = session.dial("tcp", "169.254.169.254:80")?.read_u8().await.unwrap_err();
//!     assert_eq!(denied.to_string(), "dial tcp 169.254.169.254:80: connect not allowed");
//!     Ok(())
//! }
//! ```
//!
//! # Behavior
//!
//! - **Dials succeed immediately.** The protocol does not confirm them. A failed dial is an error of the first read, with the
//!   client's text in [`ConnectionError::Peer`]. [`SessionConfig::response_timeout`] limits the wait.
//! - **No half-close.** A connection ends in both directions, see [`Connection`].
//! - **Flow control in both directions.** The original has one flag for pausing both directions of a connection: a Resume that
//!   it sends also clears its peer's Pause, and a Resume that it receives also clears its own. So each Resume is answered with
//!   the state of this side, and a Pause that may have crossed a Resume is ignored after a second, for 4 MiB.
//! - **Bounded memory.** If a reader stops, the peer is paused; data in transit is buffered, up to
//!   [`SessionConfig::max_connection_buffer`]. Other connections of the session continue. Messages have a maximum length and are
//!   read without a separate buffer; an idle session has no buffers.
//! - **Dead peers** are detected by pings and by writes that make no progress. A peer that violates the protocol receives a
//!   close frame with the reason.
//!
//! # Sources
//!
//! The protocol has no specification. Formats, limits and timing were observed between the server and client of the Go module;
//! `tests/fixtures/tunnel.json` is a recorded session. The documentation of an item says where this crate is stricter than
//! the original.

mod channel;
mod client;
mod close;
mod config;
mod connection;
mod dialer;
mod driver;
mod error;
mod forward;
mod message;
mod parser;
mod scratch;
mod session;
mod shared;
mod socket;
mod stats;
pub mod upgrade;
mod varint;
mod websocket;

pub use client::{ClientIo, ClientRequest, ClientStream, ConnectError, connect, connect_over};
pub use close::CloseCode;
pub use config::SessionConfig;
pub use connection::Connection;
pub use dialer::{Dialer, Target, TcpDialer, denied};
pub use driver::SessionDriver;
pub use error::{ConnectionError, DialError, ProtocolError, SessionError};
pub use forward::join;
pub use message::{MAX_ERROR_LEN, MAX_TARGET_LEN, Message, Payload};
pub use session::{DialOptions, Session};
pub use socket::tune_socket;
pub use stats::{Stats, StatsSnapshot};
