//! Settings of the TCP socket of a session.

use std::io;

use socket2::SockRef;
use tokio::net::TcpStream;

/// The length of the kernel's receive buffer in bytes. A session receives at most this much per round trip.
const RECEIVE_BUFFER_LEN: usize = 2 * 1024 * 1024;

/// The number of unsent bytes in the kernel at which writes wait.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MAX_UNSENT_LEN: u32 = 128 * 1024;

/// Limits the kernel's buffers for a session, and turns off Nagle's algorithm. Call it for each TCP connection that a server
/// accepts; [`connect`](crate::connect) calls it for its own.
///
/// When a slow reader pauses its peer, the data in the kernel's buffers still arrives and is buffered. Linux lets a receive
/// buffer grow to 32 MB, which is more than
/// [`SessionConfig::max_connection_buffer`](crate::SessionConfig::max_connection_buffer): a connection would fail although the
/// peer has stopped sending. Pongs and Pause messages also wait behind unsent data.
pub fn tune_socket(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(MAX_UNSENT_LEN)?;
    Ok(())
}
