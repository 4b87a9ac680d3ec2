//! The snapshot of cached lists, an encrypted file: which lists are served from it after a restart, and to whom.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use azure_sandbox::{Effect, Fault, Operation};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use norman_aks::store::EncryptedColumns;
use serde_json::json;
use tokio::time::Instant;

use crate::support::advance_time;
use crate::support::app::{TestApp, TestResponse};
use crate::support::fault;

const VM_SIZES_V2: &str = "aksVMSizesV2";
/// The length of the encrypted data key after the header of a snapshot.
const WRAPPED_KEY_LEN: usize = 60;
/// The actions whose lists are saved.
const SAVED_ACTIONS: [&str; 5] = ["aksLocations", "aksRegions", "aksVMSizes", VM_SIZES_V2, "aksVersions"];

async fn get_list(app: &TestApp, action: &str) -> TestResponse {
    let body = app.credential(&json!({"region": "eastus"}));
    app.post(&format!("/meta/{action}")).json(&body).send().await
}

/// The cache header, age and status of a response.
fn cache_status(response: &TestResponse) -> (&str, &str, u16) {
    (response.header("x-norman-aks-cache"), response.header("age"), response.status.as_u16())
}

/// Starts a server with the lists of all [`SAVED_ACTIONS`] in its cache.
async fn start_with_lists() -> TestApp {
    let app = TestApp::with_advisory_review().await;
    for action in SAVED_ACTIONS {
        assert_eq!(cache_status(&get_list(&app, action).await), ("miss", "0", 200), "{action}");
    }
    app
}

/// Starts a server on the data directory of another one, and waits until it has restored the lists.
async fn restart_and_restore(app: &TestApp) -> TestApp {
    wait_until_restored(restart(app).await).await
}

/// Waits until the lists are restored. A starting server waits only briefly for them.
async fn wait_until_restored(app: TestApp) -> TestApp {
    let started = Instant::now();
    while app.server.listings.cache_bytes() == 0 {
        assert!(started.elapsed() < Duration::from_secs(30), "nothing is restored");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    app
}

/// Starts a server on the data directory of another one.
async fn restart(app: &TestApp) -> TestApp {
    let app = TestApp::builder().advisory_review().restart_of(app).start().await;
    app.take_azure_requests();
    app
}

fn snapshot_file(app: &TestApp) -> PathBuf {
    app.data_dir.path().join("lists.snapshot")
}

fn login_fault(effect: Effect) -> Fault {
    fault::for_operation(Operation::Token, effect)
}

fn login_count(requests: &[String]) -> usize {
    requests.iter().filter(|request| request.contains("/oauth2/")).count()
}

#[tokio::test]
async fn lists_are_served_after_a_restart_with_their_age() {
    let before = start_with_lists().await;
    let original = get_list(&before, VM_SIZES_V2).await;
    before.clock.advance(Duration::from_mins(1));
    before.server.save_lists().await;
    let after = restart_and_restore(&before).await;
    after.clock.advance(Duration::from_secs(30));
    let first = get_list(&after, VM_SIZES_V2).await;
    assert_eq!(cache_status(&first), ("hit", "90", 200));
    assert_eq!((&first.body, first.header("etag")), (&original.body, original.header("etag")));
    let requests = after.take_azure_requests();
    assert_eq!((requests.len(), login_count(&requests)), (1, 1), "one login and no list: {requests:?}");
    for action in SAVED_ACTIONS {
        assert_eq!(cache_status(&get_list(&after, action).await), ("hit", "90", 200), "{action}");
    }
    let body = after.credential(&json!({"region": "eastus"}));
    let request = after.post(&format!("/meta/{VM_SIZES_V2}")).header("accept-encoding", "zstd").json(&body);
    assert_eq!(request.send().await.header("content-encoding"), "zstd");
    assert_eq!(after.take_azure_requests(), Vec::<String>::new());
}

#[tokio::test]
async fn graceful_stop_saves_lists_of_stored_credential() {
    let before = TestApp::with_advisory_review().await;
    let id = before.store_credential(&before.admin).await;
    let path = format!("/meta/{VM_SIZES_V2}?cloudCredentialId={id}&region=eastus");
    assert_eq!(cache_status(&before.get(&path).send().await), ("miss", "0", 200));
    let builder = TestApp::builder().advisory_review().restart_of(&before);
    before.server.stop().await;
    let after = wait_until_restored(builder.start().await).await;
    after.take_azure_requests();
    assert_eq!(cache_status(&after.get(&path).send().await), ("hit", "0", 200));
    let requests = after.take_azure_requests();
    assert_eq!((requests.len(), login_count(&requests)), (1, 1), "{requests:?}");
}

#[tokio::test]
async fn expired_list_is_served_while_a_new_one_is_loaded() {
    let before = start_with_lists().await;
    before.server.save_lists().await;
    let after = restart_and_restore(&before).await;
    after.clock.advance(Duration::from_hours(2));
    assert_eq!(cache_status(&get_list(&after, VM_SIZES_V2).await), ("stale", "7200", 200));
    while get_list(&after, VM_SIZES_V2).await.header("x-norman-aks-cache") != "hit" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let requests = after.take_azure_requests();
    assert_eq!(requests.iter().filter(|request| request.ends_with("/skus")).count(), 1, "{requests:?}");
}

#[tokio::test]
async fn rejected_login_evicts_all_lists() {
    let before = start_with_lists().await;
    before.server.save_lists().await;
    let after = restart_and_restore(&before).await;
    after.control.add_fault(login_fault(fault::status(401)));
    let response = get_list(&after, VM_SIZES_V2).await.expect(400);
    assert!(response.error().starts_with("failed to get VM sizes: "), "{}", response.text());
    after.control.clear_faults();
    // A rejection is cached for ten seconds.
    after.clock.advance(Duration::from_secs(11));
    after.server.save_lists().await;
    let last = restart(&after).await;
    for app in [&after, &last] {
        for action in SAVED_ACTIONS {
            assert_eq!(cache_status(&get_list(app, action).await).0, "miss", "{action}");
        }
    }
}

#[tokio::test]
async fn lists_are_served_while_login_fails() {
    let before = start_with_lists().await;
    before.server.save_lists().await;
    for effect in [fault::status(503), fault::status(429), Effect::CutBeforeAnswer, Effect::InvalidJson] {
        let after = restart_and_restore(&before).await;
        let effect_name = format!("{effect:?}");
        after.control.add_fault(login_fault(effect));
        after.clock.advance(Duration::from_secs(10));
        let response = get_list(&after, VM_SIZES_V2).await;
        assert_eq!(
            (response.header("x-norman-aks-cache"), response.status.as_u16()),
            ("hit", 200),
            "{effect_name}"
        );
        // Lists of objects that users create are not saved.
        assert_ne!(get_list(&after, "aksVirtualNetworks").await.status, 200, "{effect_name}");
        after.control.clear_faults();
    }
}

#[tokio::test]
async fn unresponsive_login_is_awaited_once() {
    let before = start_with_lists().await;
    before.server.save_lists().await;
    let after = restart_and_restore(&before).await;
    after.control.add_fault(fault::delay(Operation::Token, 3_600_000));
    let started = Instant::now();
    let mut first = pin!(get_list(&after, VM_SIZES_V2));
    // The first request waits for the login for a few seconds.
    tokio::select! {
        response = &mut first => panic!("the login was not awaited: {response:?}"),
        () = after.wait_until_azure_hangs() => advance_time(Duration::from_secs(3)).await,
    }
    assert_eq!(cache_status(&first.await), ("hit", "0", 200));
    let first_duration = started.elapsed();
    let started = Instant::now();
    assert_eq!(cache_status(&get_list(&after, VM_SIZES_V2).await), ("hit", "0", 200));
    assert!(started.elapsed() < first_duration / 2, "{:?} after {first_duration:?}", started.elapsed());
}

#[tokio::test]
async fn no_cache_request_bypasses_restored_lists() {
    let before = start_with_lists().await;
    before.server.save_lists().await;
    let after = restart_and_restore(&before).await;
    let body = after.credential(&json!({"region": "eastus"}));
    let response = after
        .post(&format!("/meta/{VM_SIZES_V2}"))
        .header("cache-control", "no-cache")
        .json(&body)
        .send()
        .await;
    assert_eq!(cache_status(&response), ("miss", "0", 200));
}

#[tokio::test]
async fn other_secret_gets_no_restored_list() {
    let before = start_with_lists().await;
    before.server.save_lists().await;
    let after = restart_and_restore(&before).await;
    let mut body = after.credential(&json!({"region": "eastus"}));
    body["clientSecret"] = after.seed.client_secret_2.into();
    let response = after.post(&format!("/meta/{VM_SIZES_V2}")).json(&body).send().await;
    assert_eq!(cache_status(&response), ("miss", "0", 200));
    body["clientSecret"] = "guessed".into();
    after.control.add_fault(login_fault(fault::status(503)));
    let response = after.post(&format!("/meta/{VM_SIZES_V2}")).json(&body).send().await;
    assert_eq!(response.status, 503, "no list for a guessed secret while Entra fails: {}", response.text());
}

#[tokio::test]
async fn unusable_snapshot_is_discarded_and_overwritten() {
    let before = start_with_lists().await;
    before.server.save_lists().await;
    let valid = std::fs::read(snapshot_file(&before)).unwrap();
    let header =
        String::from_utf8(valid.iter().copied().take_while(|byte| *byte != b'\n').collect()).unwrap();
    let [format, version, key_id] = header.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let with_header = |new: String| [new.as_bytes(), &valid[header.len()..]].concat();
    let with_flipped_bit = |index: usize| {
        let mut bytes = valid.clone();
        bytes[index] ^= 1;
        bytes
    };
    for (defect, bytes) in [
        ("empty", Vec::new()),
        ("truncated", valid[..valid.len() / 2].to_vec()),
        ("without the last byte", valid[..valid.len() - 1].to_vec()),
        ("longer", [&valid[..], b"x"].concat()),
        ("altered wrapped key", with_flipped_bit(header.len() + 20)),
        ("altered content", with_flipped_bit(valid.len() - 100)),
        ("another file format", b"SQLite format 3\0".to_vec()),
        ("of another version", with_header(format!("{format} 0.0.9 {key_id}"))),
        ("of another key", with_header(format!("{format} {version} key-other"))),
    ] {
        std::fs::write(snapshot_file(&before), &bytes).unwrap();
        let after = restart(&before).await;
        assert_eq!(cache_status(&get_list(&after, VM_SIZES_V2).await), ("miss", "0", 200), "{defect}");
        after.server.save_lists().await;
        assert_ne!(std::fs::read(snapshot_file(&after)).unwrap(), bytes, "{defect}");
        let last = restart_and_restore(&after).await;
        assert_eq!(cache_status(&get_list(&last, VM_SIZES_V2).await), ("hit", "0", 200), "{defect}");
    }
}

#[tokio::test]
async fn old_snapshot_is_discarded() {
    let before = start_with_lists().await;
    before.server.save_lists().await;
    let old = std::fs::read(snapshot_file(&before)).unwrap();
    // Longer than the largest TTL and the maximum staleness, which are 24 h each.
    before.clock.advance(Duration::from_hours(24 + 24 + 1));
    let after = restart(&before).await;
    assert_eq!(after.server.listings.cache_bytes(), 0);
    assert_eq!(cache_status(&get_list(&after, "aksLocations").await), ("miss", "0", 200));
    after.server.save_lists().await;
    assert!(std::fs::read(snapshot_file(&after)).unwrap().len() < old.len());
}

#[tokio::test]
async fn killed_server_leaves_the_last_complete_snapshot() {
    let before = TestApp::with_advisory_review().await;
    get_list(&before, VM_SIZES_V2).await;
    before.server.save_lists().await;
    get_list(&before, "aksLocations").await;
    // As if the server had been killed while it wrote the next snapshot.
    std::fs::write(snapshot_file(&before).with_extension("new"), b"norman-aks-snap").unwrap();
    let after = restart_and_restore(&before).await;
    assert_eq!(cache_status(&get_list(&after, VM_SIZES_V2).await), ("hit", "0", 200));
    assert_eq!(cache_status(&get_list(&after, "aksLocations").await), ("miss", "0", 200));
    after.server.save_lists().await;
    assert_eq!(
        cache_status(&get_list(&restart_and_restore(&after).await, "aksLocations").await),
        ("hit", "0", 200)
    );
}

#[tokio::test]
async fn unchanged_lists_are_not_written_again() {
    let before = start_with_lists().await;
    before.server.save_lists().await;
    let written = std::fs::read(snapshot_file(&before)).unwrap();
    get_list(&before, VM_SIZES_V2).await;
    get_list(&before, "aksClusters").await;
    before.server.save_lists().await;
    // A new snapshot would be encrypted with another data key.
    assert!(std::fs::read(snapshot_file(&before)).unwrap() == written);
    let after = restart_and_restore(&before).await;
    after.server.save_lists().await;
    assert!(std::fs::read(snapshot_file(&before)).unwrap() == written);
}

#[tokio::test]
async fn key_rotation_discards_snapshot_but_not_cache() {
    let before = start_with_lists().await;
    before.server.save_lists().await;
    let key_file = before.data_dir.path().join("encryption.keys");
    let old_keys = std::fs::read_to_string(&key_file).unwrap();
    let new_key = STANDARD.encode([9; 32]);
    std::fs::write(&key_file, format!("key-new:{new_key}\n{old_keys}")).unwrap();
    before.server.secrets.reload().await.unwrap();
    assert_eq!(cache_status(&get_list(&before, VM_SIZES_V2).await), ("hit", "0", 200));
    let old_snapshot = std::fs::read(snapshot_file(&before)).unwrap();
    before.server.save_lists().await;
    assert!(!snapshot_file(&before).exists());
    // As if the server had been killed before it deleted the snapshot.
    std::fs::write(snapshot_file(&before), old_snapshot).unwrap();
    let after = restart(&before).await;
    assert_eq!(cache_status(&get_list(&after, VM_SIZES_V2).await), ("miss", "0", 200));
    after.server.save_lists().await;
    assert!(
        std::fs::read(snapshot_file(&after)).unwrap().starts_with(b"norman-aks-snapshot-1 0.1.0 key-new\n")
    );
    assert_eq!(
        cache_status(&get_list(&restart_and_restore(&after).await, VM_SIZES_V2).await),
        ("hit", "0", 200)
    );
}

#[tokio::test]
async fn snapshot_is_encrypted_and_contains_no_secret() {
    let app = start_with_lists().await;
    for action in ["aksVirtualNetworks", "aksClusters"] {
        assert_eq!(get_list(&app, action).await.status, 200);
    }
    let id = app.store_credential(&app.admin).await;
    let path = format!("/meta/aksRegions?cloudCredentialId={id}");
    assert_eq!(app.get(&path).send().await.status, 200);
    app.server.save_lists().await;
    assert_eq!(std::fs::metadata(snapshot_file(&app)).unwrap().permissions().mode() & 0o777, 0o600);
    let content = std::fs::read(snapshot_file(&app)).unwrap();
    let header_len = content.iter().position(|byte| *byte == b'\n').unwrap();
    let header = std::str::from_utf8(&content[..header_len]).unwrap();
    let [_, version, key_id] = header.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let (wrapped_key, ciphertext) = content[header_len + 1..].split_at(WRAPPED_KEY_LEN);
    let encrypted = EncryptedColumns {
        key_id: key_id.to_owned(),
        wrapped_key: wrapped_key.to_vec(),
        ciphertext: ciphertext.to_vec(),
    };
    let plaintext = app.server.secrets.decrypt_snapshot(version, encrypted).unwrap();
    let contains =
        |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    for text in ["Standard_D2s_v5", "eastus", app.seed.subscription_id] {
        assert!(contains(&plaintext, text) && !contains(&content, text), "{text}");
    }
    let admin_secret = app.admin.split_once(':').unwrap().1;
    let hex = |text: &str| text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    for secret in [app.seed.client_secret, app.seed.client_secret_2, admin_secret] {
        for encoded in
            [secret.to_owned(), STANDARD.encode(secret).trim_end_matches('=').to_owned(), hex(secret)]
        {
            assert!(!contains(&plaintext, &encoded) && !contains(&content, &encoded), "{encoded}");
        }
    }
    for text in [app.seed.client_id, app.seed.tenant_id, "Bearer", "eyJ", "aksConfig"] {
        assert!(!contains(&plaintext, text), "{text}");
    }
}
