//! `healthcheck`: requests `/readyz` of the server on this machine, or of another one. The container image has no curl.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use clap::Args;

use super::error::Error;
use super::runtime::load;
use crate::config::{ServeScope, SettingFlags};

/// The timeout, which is shorter than that of any container engine.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Args)]
pub(super) struct Healthcheck {
    /// Check this server in place of the one on this machine
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    #[command(flatten)]
    settings: SettingFlags<ServeScope>,
}

pub(super) fn run(command: Healthcheck) -> Result<(), Error> {
    if let Some(address) = command.address {
        return check(address);
    }
    // The settings may be those of a sandbox, which are rejected without `--sandbox`.
    let config = load(&command.settings.into_flags().with_sandbox())?.config;
    check(local_address(config.health_listen.unwrap_or(config.listen)).to_string())
}

fn check(address: String) -> Result<(), Error> {
    let response = match get_readyz(&address) {
        Ok(response) => response,
        Err(source) => return Err(Error::NoServer { address, source }),
    };
    let status = response.split(' ').nth(1);
    if status == Some("200") {
        return Ok(());
    }
    let body = response.split_once("\r\n\r\n").map_or(response.as_str(), |(_, body)| body);
    let response = format!("{} {}", status.unwrap_or("not HTTP:"), body.trim());
    Err(Error::NotReady { address, response })
}

/// The address of a server that listens on `listen`, for connections from this machine.
fn local_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn get_readyz(address: &str) -> io::Result<String> {
    let mut stream = connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    // The length is limited, because another program may respond.
    stream.take(64 << 10).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}

/// Connects to the first address of the name that accepts the connection.
fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no IP address");
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Checks a server that sends `response`.
    fn check_response(response: &'static str) -> Result<(), Error> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // `localhost` may also have an IPv6 address, where nothing listens.
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                let mut chunk = [0; 256];
                let length = stream.read(&mut chunk).unwrap();
                request.push_str(&String::from_utf8_lossy(&chunk[..length]));
            }
            stream.write_all(response.as_bytes()).unwrap();
            request
        });
        let result = check(address);
        assert!(server.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
        result
    }

    #[test]
    fn only_200_is_ready_and_error_contains_response() {
        assert!(check_response("HTTP/1.1 200 OK\r\n\r\nok").is_ok());
        let error =
            check_response("HTTP/1.1 503 Service Unavailable\r\n\r\ndatabase: not available\n").unwrap_err();
        assert!(error.to_string().ends_with("is not ready: 503 database: not available"), "{error}");
        let error = check_response("").unwrap_err();
        assert!(matches!(error, Error::NotReady { .. }), "{error}");
    }

    #[test]
    fn unspecified_address_is_checked_on_loopback() {
        for (listen, expected) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("10.0.0.1:3", "10.0.0.1:3")]
        {
            assert_eq!(local_address(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
