//! `healthcheck`: asks the server of this machine whether it is ready. Containers have no curl.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::Error;
use crate::config::Config;

/// Shorter than any container engine waits.
const LIMIT: Duration = Duration::from_secs(3);

pub(super) fn run(config: &Config) -> Result<(), Error> {
    let address = own(config.health_listen.unwrap_or(config.listen));
    let answer = ask(address).map_err(|source| Error::NoServer { address: address.to_string(), source })?;
    let status = answer.split(' ').nth(1);
    if status == Some("200") {
        return Ok(());
    }
    let lines = answer.split_once("\r\n\r\n").map_or(answer.as_str(), |(_, body)| body);
    let answer = format!("{} {}", status.unwrap_or("no HTTP:"), lines.trim());
    Err(Error::NotReady { address: address.to_string(), answer })
}

/// The address at which this machine reaches a server that listens on `listen`.
fn own(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    // Whatever answers there need not be our server.
    stream.take(64 << 10).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::config::{Config, Flags, settings};

    fn asked(answer: &'static str) -> Result<(), Error> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                let mut piece = [0; 256];
                let length = stream.read(&mut piece).unwrap();
                request.push_str(&String::from_utf8_lossy(&piece[..length]));
            }
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        let flags = Flags::new().with(&settings::LISTEN, listen);
        let (config, _) =
            Config::load(&flags, &std::collections::BTreeMap::new(), &|_| Ok(String::new())).unwrap();
        let outcome = run(&config);
        assert!(server.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
        outcome
    }

    #[test]
    fn only_a_200_is_ready_and_the_answer_is_shown() {
        assert!(asked("HTTP/1.1 200 OK\r\n\r\nok").is_ok());
        let error = asked("HTTP/1.1 503 Service Unavailable\r\n\r\ndatabase: not available\n").unwrap_err();
        assert!(error.to_string().ends_with("is not ready: 503 database: not available"), "{error}");
        let error = asked("").unwrap_err();
        assert!(matches!(error, Error::NotReady { .. }), "{error}");
    }

    #[test]
    fn a_server_on_all_addresses_is_asked_on_loopback() {
        for (listen, expected) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("10.0.0.1:3", "10.0.0.1:3")]
        {
            assert_eq!(own(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
