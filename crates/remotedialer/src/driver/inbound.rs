//! Reading: from the socket to the receive buffers of connections.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{Phase, SessionDriver};
use crate::channel::{Channel, End, FlowOutcome, ReceiveOutcome, Timeouts};
use crate::close::CloseCode;
use crate::connection::Connection;
use crate::error::{ConnectionError, ProtocolError, SessionError};
use crate::message::{EOF, Payload, Target, clean_text, kind};
use crate::parser::DataPiece;
use crate::scratch;
use crate::shared::ControlMessage;
use crate::websocket::{Control, Event};

/// The number of reads before the driver writes.
const READS_PER_ROUND: usize = 2;

/// The maximum number of responses per second to data of unknown connections. The peer does not need more.
const MAX_NOT_FOUND_RESPONSES: u32 = 100;

impl<S: AsyncRead + AsyncWrite + Unpin> SessionDriver<S> {
    /// Reads from the socket. Returns whether it had data.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, SessionError> {
        if !self.prefix.is_empty() {
            let mut prefix = std::mem::take(&mut self.prefix);
            self.receive(&mut prefix, now)?;
        }
        scratch::with_buffer(|scratch| {
            for round in 0..READS_PER_ROUND {
                let mut buf = ReadBuf::uninit(scratch);
                match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                    Poll::Pending => return Ok(round > 0),
                    Poll::Ready(Err(error)) => return Err(error.into()),
                    Poll::Ready(Ok(())) if buf.filled().is_empty() => return Err(SessionError::Disconnected),
                    Poll::Ready(Ok(())) => self.receive(buf.filled_mut(), now)?,
                }
            }
            Ok(true)
        })
    }

    fn receive(&mut self, mut input: &mut [u8], now: Instant) -> Result<(), SessionError> {
        if matches!(self.phase, Phase::Closing { discard_input: true, .. }) {
            return Ok(());
        }
        self.timers.set_last_heard(now);
        self.shared.set_last_heard(now);
        while let (Some(event), rest) = self.decoder.next(input)? {
            input = rest;
            match event {
                Event::Payload(bytes) => {
                    if let Some(piece) = self.parser.push(bytes)? {
                        self.on_data(&piece)?;
                    }
                }
                Event::MessageEnd => {
                    self.current_channel = None;
                    if let Some((connection, payload)) = self.parser.finish()? {
                        self.on_message(connection, payload, now)?;
                    }
                }
                Event::Ping(payload) => self.outbound.set_pong(payload),
                Event::Pong => {}
                Event::Close { code, reason } => {
                    self.on_close(code, reason, now);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn on_close(&mut self, code: CloseCode, reason: String, now: Instant) {
        if matches!(self.phase, Phase::Open) {
            let error = SessionError::ClosedByPeer { code, reason: reason.clone() };
            self.begin_close(code, &reason, error, now);
        }
        if let Phase::Closing { has_peer_closed, discard_input, .. } = &mut self.phase {
            *has_peer_closed = true;
            *discard_input = true;
        }
    }

    fn on_data(&mut self, piece: &DataPiece<'_>) -> Result<(), SessionError> {
        if !matches!(self.phase, Phase::Open) {
            return Ok(());
        }
        if piece.is_first {
            self.current_channel = self.shared.lock().connections.get(&piece.connection).cloned();
            if self.current_channel.is_none() {
                return self.respond_not_found(piece.connection);
            }
        }
        let (Some(channel), false) = (self.current_channel.clone(), piece.bytes.is_empty()) else {
            return Ok(());
        };
        let len = piece.bytes.len();
        let config = &self.shared.config;
        // Count the data before the reader can take it.
        self.shared.add_received(len);
        let is_session_half_full = self.shared.received() > config.max_session_buffer / 2;
        match channel.receive(piece.bytes, config, is_session_half_full) {
            ReceiveOutcome::Buffered { must_pause } => {
                self.shared.count_by(|stats| &stats.bytes_received, len);
                if must_pause {
                    self.shared.count(|stats| &stats.pauses_sent);
                    self.shared.push_flow(&channel, true)?;
                }
                self.enforce_session_buffer()
            }
            ReceiveOutcome::Dropped => {
                self.shared.sub_received(len);
                Ok(())
            }
            ReceiveOutcome::Overflow => {
                self.shared.sub_received(len);
                self.current_channel = None;
                self.fail_connection(&channel, ConnectionError::BufferLimit)
            }
        }
    }

    /// Fails the connection with the largest receive buffer if the session's limit is exceeded.
    fn enforce_session_buffer(&mut self) -> Result<(), SessionError> {
        if self.shared.received() <= self.shared.config.max_session_buffer {
            return Ok(());
        }
        let state = self.shared.lock();
        let largest = state.connections.values().max_by_key(|channel| channel.received_len()).cloned();
        drop(state);
        match largest {
            Some(channel) => self.fail_connection(&channel, ConnectionError::BufferLimit),
            None => Ok(()),
        }
    }

    fn respond_not_found(&mut self, connection: i64) -> Result<(), SessionError> {
        if self.not_found_responses >= MAX_NOT_FOUND_RESPONSES {
            return Ok(());
        }
        self.not_found_responses += 1;
        let text = format!(
            "connection not found {}/{}/{connection}",
            self.shared.config.client_key, self.shared.session_key
        );
        self.push_control(connection, kind::ERROR, Bytes::from(text))
    }

    fn on_message(&mut self, connection: i64, payload: Payload, now: Instant) -> Result<(), SessionError> {
        if !matches!(self.phase, Phase::Open) {
            return Ok(());
        }
        match payload {
            Payload::Connect(target) => self.on_connect(connection, target),
            Payload::Error(text) => self.on_error(connection, text),
            Payload::Pause | Payload::Resume => {
                self.on_flow_control(connection, payload == Payload::Pause, now)
            }
            Payload::SyncConnections(ids) => {
                self.on_sync(ids, now);
                Ok(())
            }
            // Announcements are for servers that forward to each other. Unknown types may come from newer peers.
            Payload::Data(_) | Payload::AddClient(_) | Payload::RemoveClient(_) | Payload::Unknown(_) => {
                Ok(())
            }
        }
    }

    fn on_connect(&mut self, connection: i64, target: Target) -> Result<(), SessionError> {
        let Some(acceptor) = &self.acceptor else {
            return Err(ProtocolError::ConnectNotAllowed.into());
        };
        let mut state = self.shared.lock();
        let replaced = state.connections.remove(&connection);
        if state.connections.len() >= self.shared.config.max_connections {
            drop(state);
            return self.push_control(connection, kind::ERROR, Bytes::from_static(b"too many connections"));
        }
        let channel = Arc::new(Channel::new(connection, Timeouts::default()));
        state.connections.insert(connection, Arc::clone(&channel));
        drop(state);
        if let Some(replaced) = replaced {
            self.shared.end_removed(&replaced, ConnectionError::Replaced);
        }
        self.shared.count(|stats| &stats.opened);
        let handle = Connection::new(Arc::clone(&self.shared), channel);
        self.tasks.spawn(acceptor(target, handle));
        Ok(())
    }

    fn on_error(&mut self, connection: i64, text: Bytes) -> Result<(), SessionError> {
        // A second Error for a connection is normal: both sides send one.
        let Some(channel) = self.shared.remove(connection) else { return Ok(()) };
        let end = if text == EOF {
            End::Eof
        } else {
            self.shared.count(|stats| &stats.failed);
            End::Failed(ConnectionError::Peer(clean_text(&text)))
        };
        self.shared.sub_outgoing(channel.end(end));
        self.push_control(connection, kind::ERROR, text)
    }

    fn on_flow_control(&mut self, connection: i64, is_pause: bool, now: Instant) -> Result<(), SessionError> {
        let channel = self.shared.lock().connections.get(&connection).cloned();
        let Some(channel) = channel else { return Ok(()) };
        if is_pause {
            self.shared.count(|stats| &stats.pauses_received);
        }
        let outcome = channel.set_paused(is_pause, now);
        self.apply_flow(&channel, &outcome)
    }

    /// Sends the messages that flow control requires.
    pub(super) fn apply_flow(
        &mut self,
        channel: &Arc<Channel>,
        outcome: &FlowOutcome,
    ) -> Result<(), SessionError> {
        if outcome.must_schedule {
            self.shared.push_ready(Arc::clone(channel));
        }
        outcome.response.map_or(Ok(()), |is_pause| self.shared.push_flow(channel, is_pause))
    }

    /// Ends the connections that the peer should list but does not.
    fn on_sync(&mut self, mut ids: Vec<i64>, now: Instant) {
        ids.sort_unstable();
        let grace = self.shared.config.sync_grace;
        let mut state = self.shared.lock();
        let missing: Vec<_> = state
            .connections
            .extract_if(|id, channel| ids.binary_search(id).is_err() && channel.must_be_listed(now, grace))
            .collect();
        drop(state);
        for (_, channel) in missing {
            self.shared.end_removed(&channel, ConnectionError::Forgotten);
        }
    }

    /// Fails a connection on this side and notifies the peer.
    pub(super) fn fail_connection(
        &mut self,
        channel: &Channel,
        error: ConnectionError,
    ) -> Result<(), SessionError> {
        if self.shared.remove(channel.id).is_none() {
            return Ok(());
        }
        let text = Bytes::from(error.to_string());
        if error == ConnectionError::BufferLimit {
            self.shared.sub_received(channel.drop_received());
        }
        self.shared.sub_outgoing(channel.end(End::Failed(error)));
        self.shared.count(|stats| &stats.failed);
        self.push_control(channel.id, kind::ERROR, text)
    }

    pub(super) fn push_control(&self, connection: i64, kind: i64, body: Bytes) -> Result<(), SessionError> {
        self.shared.push_control(ControlMessage { connection, kind, body })
    }

    /// Sends the list of this side's connections to the peer.
    pub(super) fn send_sync(&mut self) -> Result<(), SessionError> {
        let mut ids: Vec<i64> = self.shared.lock().connections.keys().copied().collect();
        ids.sort_unstable();
        let body: BytesMut = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        self.push_control(0, kind::SYNC_CONNECTIONS, body.freeze())
    }

    pub(super) fn queue_ping(&mut self) {
        self.outbound.push_first(self.shared.role, &Control::Ping);
    }
}
