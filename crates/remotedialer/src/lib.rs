//! Rancher's tunnel protocol, `remotedialer`, both ends.
//!
//! A client inside a private network opens one WebSocket to a server. Over it, the server asks the client to dial
//! addresses and exchanges the bytes of those connections. A [`Connection`] is `AsyncRead + AsyncWrite`, so that TLS
//! and HTTP run inside it end to end. Both ends work with those of the Go module `github.com/rancher/remotedialer`
//! (tested with v0.6.1), which Rancher's cluster agent uses.
//!
//! - [`Session::server`] accepts a session on a stream that an HTTP server has upgraded; [`upgrade`] checks the
//!   request and makes the response.
//! - [`connect`] and [`connect_over`] connect a client. Its [`Dialer`] decides what the server may reach.
//! - [`join`] copies between a connection and another stream. [`Stats`] are counters for metrics. [`tune_socket`] is
//!   for TCP connections that a server accepts.
//!
//! Each session is run by one future, the [`SessionDriver`], which the caller spawns:
//!
//! ```
//! use remotedialer::{Session, SessionConfig, Target};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Stands for a WebSocket after its handshake.
//!     let (server_stream, client_stream) = tokio::io::duplex(64 * 1024);
//!
//!     // The client reaches one address, which answers with a greeting.
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
//! - **Dials succeed at once.** The protocol does not confirm them. A failed dial is an error of the first read, with
//!   the client's text in [`ConnectionError::Peer`]. [`SessionConfig::response_timeout`] bounds the wait.
//! - **No half close.** A connection ends in both directions, see [`Connection`].
//! - **Both directions at once.** The original has one flag for pausing both directions of a connection, so that its own
//!   Resume undoes a Pause of its peer, and a Resume of its peer its own Pause. Each Resume is answered with the state of
//!   this side, and a Pause that may have crossed a Resume is ignored after a second, for 4 MiB.
//! - **Bounded memory.** A reader that stops makes the peer pause; what is under way is buffered, up to
//!   [`SessionConfig::max_connection_buffer`]. Other connections of the session go on. Messages are limited and read
//!   without a buffer of their own; an idle session owns no buffers.
//! - **Dead peers** are found by pings and by writes that do not proceed. A peer that violates the protocol gets a
//!   close frame that says why.
//!
//! # Source of the facts
//!
//! The protocol has no specification. Formats, limits and timing are those observed between the Go module's own server
//! and client; `tests/fixtures/tunnel.json` is a recorded session. Where this crate is stricter than the original, the
//! item's documentation says so.

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
