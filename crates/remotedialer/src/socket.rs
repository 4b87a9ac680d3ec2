//! Settings of the TCP socket under a session.

use std::io;

use socket2::SockRef;
use tokio::net::TcpStream;

/// Receive buffer of the kernel in bytes. It limits a session to this much for each round trip.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;

/// Unsent bytes that the kernel takes before a write waits.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MAX_UNSENT: u32 = 128 * 1024;

/// Limits what the kernel buffers for a session, and turns off Nagle's algorithm. Call it for each TCP connection
/// that a server accepts; [`connect`](crate::connect) calls it for its own.
///
/// What is in the kernel's buffers when a slow reader pauses its peer still arrives and is kept in memory. Linux
/// lets a receive buffer grow to 32 MB, which is more than
/// [`SessionConfig::max_connection_buffer`](crate::SessionConfig::max_connection_buffer): a connection would fail
/// although the peer obeys. Pongs and Pause messages also wait behind unsent data.
pub fn tune_socket(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(MAX_UNSENT)?;
    Ok(())
}
