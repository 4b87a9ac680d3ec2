//! Random bytes and random frame sequences: no panic, bounded memory, and the session ends when its stream ends.

use bytes::Bytes;
use proptest::prelude::*;
use remotedialer::{Message, Payload, Session, SessionConfig, Target};
use tokio::io::{AsyncWriteExt, duplex};

use crate::support::*;

fn any_payload() -> impl Strategy<Value = Payload> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    prop_oneof![
        bytes().prop_map(Payload::Data),
        ("[a-z]{1,5}", "[ -~]{0,250}")
            .prop_map(|(network, address)| Payload::Connect(Target { network, address })),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(|text| Payload::Error(Bytes::from(text))),
        ("[a-z]{1,9}", any::<i64>())
            .prop_map(|(key, id)| Payload::AddClient(Bytes::from(format!("{key}/{id}")))),
        ("[a-z]{1,9}", any::<i64>())
            .prop_map(|(key, id)| Payload::RemoveClient(Bytes::from(format!("{key}/{id}")))),
        Just(Payload::Pause),
        Just(Payload::Resume),
        prop::collection::vec(any::<i64>(), 0..50).prop_map(Payload::SyncConnections),
        (9_i64..).prop_map(Payload::Unknown),
    ]
}

fn any_message() -> impl Strategy<Value = Message> {
    (any::<i64>(), prop_oneof![-1_i64..6, any::<i64>()], any_payload())
        .prop_map(|(id, connection, payload)| Message { id, connection, payload })
}

/// A frame of the peer: a message, or a violation of the protocol.
fn any_frame() -> impl Strategy<Value = (u8, Vec<u8>)> {
    prop_oneof![
        8 => any_message().prop_map(|message| (BINARY, encode(&message))),
        1 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)),
        1 => prop::collection::vec(any::<u8>(), 0..126).prop_map(|payload| (PING, payload)),
        1 => (prop_oneof![Just(0x02), Just(0x00), Just(0x80)], prop::collection::vec(any::<u8>(), 0..200)),
    ]
}

/// Sends bytes to a session of either side and waits for its end.
fn run_session(is_server: bool, chunks: Vec<Vec<u8>>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (near, far) = duplex(4096);
        let (session, driver) = if is_server {
            let (session, driver) = Session::server(near, SessionConfig::server());
            (session, tokio::spawn(driver))
        } else {
            let (session, driver) = Session::client(near, SessionConfig::client(), echo());
            (session, tokio::spawn(driver))
        };
        let mut connections: Vec<_> = (0..3).filter_map(|_| session.dial("tcp", "a:1").ok()).collect();
        let (mut read, mut write) = tokio::io::split(far);
        let reader = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
        });
        for chunk in chunks {
            if let Some(connection) = connections.first_mut() {
                let _ = connection.write_all(&chunk).await;
            }
            if write.write_all(&chunk).await.is_err() {
                break;
            }
            assert!(session.buffered() <= SessionConfig::server().max_session_buffer);
        }
        let _ = write.shutdown().await;
        driver.await.unwrap();
        drop(write);
        reader.await.unwrap();
        for connection in &mut connections {
            let _ = read_all(connection).await;
        }
        drop(connections);
        assert_eq!(session.buffered(), 0);
        assert_eq!(session.connections(), 0);
    });
}

/// A frame with a mask if `is_masked` is set.
fn encode_frame(first_byte: u8, payload: &[u8], is_masked: bool) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    let mask_bit = if is_masked { 0x80 } else { 0 };
    if let Ok(len @ 0..126) = u8::try_from(payload.len()) {
        bytes.push(mask_bit | len);
    } else {
        bytes.push(mask_bit | 0x7e);
        bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    }
    if is_masked {
        bytes.extend([0; 4]);
    }
    bytes.extend(payload);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_round_trip(message in any_message()) {
        let bytes = encode(&message);
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn arbitrary_payloads_decode_or_fail(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(message) = Message::decode(&bytes) {
            // Replacing invalid UTF-8 makes a target longer, so it may be truncated again.
            let is_target = matches!(message.payload, Payload::Connect(_));
            let again = Message::decode(&encode(&message));
            prop_assert!(is_target || again == Ok(message));
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        is_server: bool,
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..20),
    ) {
        run_session(is_server, chunks);
    }

    #[test]
    fn arbitrary_frames_do_no_harm(
        is_server: bool,
        frames in prop::collection::vec(any_frame(), 0..60),
        chunk_len in 1_usize..500,
    ) {
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|(first_byte, payload)| encode_frame(*first_byte, payload, is_server))
            .collect();
        run_session(is_server, bytes.chunks(chunk_len).map(<[u8]>::to_vec).collect());
    }
}
