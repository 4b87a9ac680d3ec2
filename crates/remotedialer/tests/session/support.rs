//! A peer that writes frames directly, so that it can also violate the protocol, and functions that start sessions.

use std::io;

use bytes::Bytes;
use remotedialer::{Connection, Dialer, Message, Payload, Session, SessionConfig, SessionError, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// The capacity of the in-memory stream between the peers, in bytes.
const PIPE_LEN: usize = 64 * 1024;

/// The other side of a session.
pub(crate) struct Peer {
    pub(crate) stream: DuplexStream,
    /// Whether this side masks its frames, as clients do.
    masks_frames: bool,
}

/// A frame received by the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first_byte: u8,
    pub(crate) payload: Vec<u8>,
}

/// A running session.
pub(crate) struct RunningSession {
    pub(crate) session: Session,
    pub(crate) driver: JoinHandle<SessionError>,
}

impl RunningSession {
    /// Waits for the end of the session.
    pub(crate) async fn wait_for_end(self) -> SessionError {
        self.driver.await.unwrap()
    }
}

/// A server session. The test plays its client.
pub(crate) fn server_with(config: SessionConfig) -> (RunningSession, Peer) {
    let (near, far) = duplex(PIPE_LEN);
    let (session, driver) = Session::server(near, config);
    (RunningSession { session, driver: tokio::spawn(driver) }, Peer { stream: far, masks_frames: true })
}

pub(crate) fn server() -> (RunningSession, Peer) {
    server_with(SessionConfig { client_key: "c-aaaaa".to_owned(), ..SessionConfig::server() })
}

/// A client session. The test plays its server.
pub(crate) fn client_with(config: SessionConfig, dialer: impl Dialer) -> (RunningSession, Peer) {
    let (near, far) = duplex(PIPE_LEN);
    let (session, driver) = Session::client(near, config, dialer);
    (RunningSession { session, driver: tokio::spawn(driver) }, Peer { stream: far, masks_frames: false })
}

/// A connected pair of a server session and a client session.
pub(crate) fn pair(
    server: SessionConfig,
    client: SessionConfig,
    dialer: impl Dialer,
) -> (RunningSession, RunningSession) {
    let (near, far) = duplex(PIPE_LEN);
    let (session, driver) = Session::server(near, server);
    let server = RunningSession { session, driver: tokio::spawn(driver) };
    let (session, driver) = Session::client(far, client, dialer);
    (server, RunningSession { session, driver: tokio::spawn(driver) })
}

/// A dialer whose targets send back what they receive.
pub(crate) fn echo() -> impl Dialer {
    |_: Target| async {
        let (near, far) = duplex(PIPE_LEN);
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(far);
            let _ = tokio::io::copy(&mut read, &mut write).await;
            write.shutdown().await
        });
        io::Result::Ok(near)
    }
}

pub(crate) fn dial(session: &Session) -> Connection {
    session.dial("tcp", "10.0.0.1:443").unwrap()
}

pub(crate) fn message(connection: i64, payload: Payload) -> Message {
    Message { id: 7, connection, payload }
}

pub(crate) fn data(connection: i64, body: impl Into<Bytes>) -> Message {
    message(connection, Payload::Data(body.into()))
}

pub(crate) fn error(connection: i64, text: &'static str) -> Message {
    message(connection, Payload::Error(Bytes::from(text)))
}

impl Peer {
    pub(crate) async fn send(&mut self, message: Message) {
        self.send_frame(BINARY, &encode(&message)).await;
    }

    pub(crate) async fn send_frame(&mut self, first_byte: u8, payload: &[u8]) {
        let bytes = self.frame(first_byte, payload);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Sends bytes unchanged.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Encodes a frame, masked if this side is the client.
    pub(crate) fn frame(&self, first_byte: u8, payload: &[u8]) -> Vec<u8> {
        let mask_bit = if self.masks_frames { 0x80 } else { 0 };
        let mut bytes = vec![first_byte];
        match payload.len() {
            len @ 0..126 => bytes.push(mask_bit | u8::try_from(len).unwrap()),
            len @ 126..0x1_0000 => {
                bytes.push(mask_bit | 0x7e);
                bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
            len => {
                bytes.push(mask_bit | 0x7f);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        if self.masks_frames {
            let key = [0x12, 0x34, 0x56, 0x78];
            bytes.extend(key);
            bytes.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]));
        } else {
            bytes.extend(payload);
        }
        bytes
    }

    /// Receives the next frame. `None` is the end of the stream.
    pub(crate) async fn receive_frame(&mut self) -> Option<Frame> {
        let first_byte = self.stream.read_u8().await.ok()?;
        let second_byte = self.stream.read_u8().await.ok()?;
        assert_eq!(second_byte & 0x80 != 0, !self.masks_frames, "only clients mask their frames");
        let len = match second_byte & 0x7f {
            126 => u64::from(self.stream.read_u16().await.ok()?),
            127 => self.stream.read_u64().await.ok()?,
            len => u64::from(len),
        };
        let mut key = [0; 4];
        if !self.masks_frames {
            self.stream.read_exact(&mut key).await.ok()?;
        }
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.stream.read_exact(&mut payload).await.ok()?;
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte ^= key[index % 4];
        }
        Some(Frame { first_byte, payload })
    }

    /// Receives the next tunnel message. Pings are answered, pongs are skipped.
    pub(crate) async fn receive(&mut self) -> Message {
        loop {
            let frame = self.receive_frame().await.expect("the session is open");
            match frame.first_byte {
                BINARY => return Message::decode(&frame.payload).unwrap(),
                PING => self.send_frame(PONG, &frame.payload).await,
                PONG => {}
                other => panic!("frame {other:x}: {:?}", frame.payload),
            }
        }
    }

    /// Receives the next tunnel message. Returns its connection and payload.
    pub(crate) async fn receive_payload(&mut self) -> (i64, Payload) {
        let message = self.receive().await;
        (message.connection, message.payload)
    }

    /// Receives a close frame and the end of the stream. Returns the close code.
    pub(crate) async fn receive_close(&mut self) -> u16 {
        loop {
            let frame = self.receive_frame().await.expect("a close frame comes before the end");
            if frame.first_byte == CLOSE {
                let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
                let response = self.frame(CLOSE, &frame.payload);
                // If the peer sent a close frame first, the session may have ended already.
                let _ = self.stream.write_all(&response).await;
                let _ = self.stream.shutdown().await;
                assert_eq!(self.receive_frame().await, None, "the socket is closed");
                return code;
            }
        }
    }

    /// Waits until the session has processed everything sent before, and returns the messages received until then.
    pub(crate) async fn receive_pending(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        // A pong overtakes queued messages, so those of the first round arrive before the second pong.
        for round in [b"1", b"2"] {
            self.send_frame(PING, round).await;
            loop {
                let frame = self.receive_frame().await.expect("the session is open");
                match frame.first_byte {
                    PONG if frame.payload == round => break,
                    BINARY => messages.push(Message::decode(&frame.payload).unwrap()),
                    _ => {}
                }
            }
        }
        messages
    }
}

pub(crate) fn encode(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

/// Reads to the end, and returns the data and the error, if there is one.
pub(crate) async fn read_all(connection: &mut Connection) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let result = connection.read_to_end(&mut bytes).await;
    (bytes, result.map(|_| ()))
}
