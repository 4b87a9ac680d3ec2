//! Cached lists outlive the process in an encrypted file: what is served from it after a restart, to whom, and what is not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use azure_sandbox::{Effect, Fault, Operation, Refusal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use norman_aks::store::SealedColumns;
use serde_json::json;

use crate::support::app::{Answer, TestApp};

const VM_SIZES: &str = "aksVMSizesV2";
/// The actions whose lists are saved.
const SAVED: [&str; 5] = ["aksLocations", "aksRegions", "aksVMSizes", VM_SIZES, "aksVersions"];

async fn list(app: &TestApp, action: &str) -> Answer {
    let body = app.credential(&json!({"region": "eastus"}));
    app.post(&format!("/meta/{action}")).json(&body).send().await
}

/// Source, age and status of a response.
fn source(answer: &Answer) -> (&str, &str, u16) {
    (answer.header("x-norman-aks-cache"), answer.header("age"), answer.status.as_u16())
}

/// A server that has loaded the lists.
async fn loaded() -> TestApp {
    let app = TestApp::advising().await;
    for action in SAVED {
        assert_eq!(source(&list(&app, action).await), ("miss", "0", 200), "{action}");
    }
    app
}

/// A new process with the data directory of the previous one, which has restored the lists.
async fn restart(app: &TestApp) -> TestApp {
    restored(start(app).await).await
}

/// Waits until the lists are restored: on a busy machine, they come after the start.
async fn restored(app: TestApp) -> TestApp {
    let begun = Instant::now();
    while app.app.listings.cache_bytes() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is restored");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    app
}

/// A new process that has nothing to restore.
async fn start(app: &TestApp) -> TestApp {
    let app = TestApp::with().advise().restart_of(app).start().await;
    app.upstream();
    app
}

fn file(app: &TestApp) -> PathBuf {
    app.folder.path().join("lists.snapshot")
}

fn token_fault(effect: Effect) -> Fault {
    Fault { operation: Some(Operation::Token), effect: Some(effect), ..Fault::default() }
}

fn status(status: u16) -> Effect {
    Effect::Status(Refusal { status: Some(status), ..Refusal::default() })
}

fn logins(requests: &[String]) -> usize {
    requests.iter().filter(|request| request.contains("/oauth2/")).count()
}

#[tokio::test]
async fn lists_are_served_after_a_restart_with_their_age() {
    let before = loaded().await;
    let known = list(&before, VM_SIZES).await;
    before.clock.advance(Duration::from_mins(1));
    before.app.save_lists().await;
    let after = restart(&before).await;
    after.clock.advance(Duration::from_secs(30));
    let first = list(&after, VM_SIZES).await;
    assert_eq!(source(&first), ("hit", "90", 200));
    assert_eq!((&first.body, first.header("etag")), (&known.body, known.header("etag")));
    let requests = after.upstream();
    assert_eq!((requests.len(), logins(&requests)), (1, 1), "one login and no list: {requests:?}");
    for action in SAVED {
        assert_eq!(source(&list(&after, action).await), ("hit", "90", 200), "{action}");
    }
    let body = after.credential(&json!({"region": "eastus"}));
    let call = after.post("/meta/aksVMSizesV2").header("accept-encoding", "zstd").json(&body);
    assert_eq!(call.send().await.header("content-encoding"), "zstd");
    assert_eq!(after.upstream(), Vec::<String>::new());
}

#[tokio::test]
async fn stored_credential_gets_its_lists_after_an_orderly_stop() {
    let before = TestApp::advising().await;
    let id = before.stored_credential(&before.admin).await;
    let path = format!("/meta/{VM_SIZES}?cloudCredentialId={id}&region=eastus");
    assert_eq!(source(&before.get(&path).send().await), ("miss", "0", 200));
    let next = TestApp::with().advise().restart_of(&before);
    before.app.stop().await;
    let after = restored(next.start().await).await;
    after.upstream();
    assert_eq!(source(&after.get(&path).send().await), ("hit", "0", 200));
    let requests = after.upstream();
    assert_eq!((requests.len(), logins(&requests)), (1, 1), "{requests:?}");
}

#[tokio::test]
async fn expired_list_is_served_while_a_new_one_is_loaded() {
    let before = loaded().await;
    before.app.save_lists().await;
    let after = restart(&before).await;
    after.clock.advance(Duration::from_hours(2));
    assert_eq!(source(&list(&after, VM_SIZES).await), ("stale", "7200", 200));
    while list(&after, VM_SIZES).await.header("x-norman-aks-cache") != "hit" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let requests = after.upstream();
    assert_eq!(requests.iter().filter(|request| request.ends_with("/skus")).count(), 1, "{requests:?}");
}

#[tokio::test]
async fn rejected_login_gets_no_list_and_evicts_all() {
    let before = loaded().await;
    before.app.save_lists().await;
    let after = restart(&before).await;
    after.control.add_fault(token_fault(status(401)));
    let answer = list(&after, VM_SIZES).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.error().starts_with("failed to get VM sizes: "), "{}", answer.text());
    after.control.clear_faults();
    // A rejection is cached for some seconds.
    after.clock.advance(Duration::from_secs(11));
    after.app.save_lists().await;
    let last = start(&after).await;
    for app in [&after, &last] {
        for action in SAVED {
            assert_eq!(source(&list(app, action).await).0, "miss", "{action}");
        }
    }
}

#[tokio::test]
async fn lists_are_served_while_azure_fails() {
    let before = loaded().await;
    before.app.save_lists().await;
    for effect in [status(503), status(429), Effect::CutBeforeAnswer, Effect::InvalidJson] {
        let after = restart(&before).await;
        let what = format!("{effect:?}");
        after.control.add_fault(token_fault(effect));
        after.clock.advance(Duration::from_secs(10));
        let answer = list(&after, VM_SIZES).await;
        assert_eq!((answer.header("x-norman-aks-cache"), answer.status.as_u16()), ("hit", 200), "{what}");
        // Not saved, because users create them.
        assert_ne!(list(&after, "aksVirtualNetworks").await.status, 200, "{what}");
        after.control.clear_faults();
    }
}

#[tokio::test]
async fn unresponsive_login_is_awaited_once() {
    let before = loaded().await;
    before.app.save_lists().await;
    let after = restart(&before).await;
    let hanging = Fault { operation: Some(Operation::Token), latency_ms: 3_600_000, ..Fault::default() };
    after.control.add_fault(hanging);
    assert_eq!(source(&list(&after, VM_SIZES).await), ("hit", "0", 200));
    let begun = Instant::now();
    assert_eq!(source(&list(&after, VM_SIZES).await), ("hit", "0", 200));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn request_for_a_new_list_gets_no_restored_one() {
    let before = loaded().await;
    before.app.save_lists().await;
    let after = restart(&before).await;
    let body = after.credential(&json!({"region": "eastus"}));
    let answer =
        after.post("/meta/aksVMSizesV2").header("cache-control", "no-cache").json(&body).send().await;
    assert_eq!(source(&answer), ("miss", "0", 200));
}

#[tokio::test]
async fn other_credential_gets_nothing() {
    let before = loaded().await;
    before.app.save_lists().await;
    let after = restart(&before).await;
    let mut other = after.credential(&json!({"region": "eastus"}));
    other["clientSecret"] = after.seed.client_secret_2.into();
    let answer = after.post("/meta/aksVMSizesV2").json(&other).send().await;
    assert_eq!(source(&answer), ("miss", "0", 200));
    other["clientSecret"] = "guessed".into();
    after.control.add_fault(token_fault(status(503)));
    let answer = after.post("/meta/aksVMSizesV2").json(&other).send().await;
    assert_eq!(answer.status, 503, "no list for a guessed secret while Azure is away: {}", answer.text());
}

#[tokio::test]
async fn unusable_snapshot_is_discarded_and_overwritten() {
    let before = loaded().await;
    before.app.save_lists().await;
    let good = std::fs::read(file(&before)).unwrap();
    let header = String::from_utf8(good.iter().copied().take_while(|byte| *byte != b'\n').collect()).unwrap();
    let words: Vec<_> = header.split(' ').collect();
    let with_header = |header: String| [header.as_bytes(), &good[words.join(" ").len()..]].concat();
    let altered = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("without the last byte", good[..good.len() - 1].to_vec()),
        ("longer", [&good[..], b"x"].concat()),
        ("altered wrapped key", altered(header.len() + 20)),
        ("altered content", altered(good.len() - 100)),
        ("something else", b"SQLite format 3\0".to_vec()),
        ("of another version", with_header(format!("{} 0.0.9 {}", words[0], words[2]))),
        ("of another key", with_header(format!("{} {} key-other", words[0], words[1]))),
    ] {
        std::fs::write(file(&before), &bytes).unwrap();
        let after = start(&before).await;
        assert_eq!(source(&list(&after, VM_SIZES).await), ("miss", "0", 200), "{what}");
        after.app.save_lists().await;
        assert_ne!(std::fs::read(file(&after)).unwrap(), bytes, "{what}");
        let last = restart(&after).await;
        assert_eq!(source(&list(&last, VM_SIZES).await), ("hit", "0", 200), "{what}");
    }
}

#[tokio::test]
async fn old_snapshot_is_discarded() {
    let before = loaded().await;
    before.app.save_lists().await;
    let old = std::fs::read(file(&before)).unwrap();
    before.clock.advance(Duration::from_hours(24 + 24 + 1));
    let after = start(&before).await;
    assert_eq!(after.app.listings.cache_bytes(), 0);
    assert_eq!(source(&list(&after, "aksLocations").await), ("miss", "0", 200));
    after.app.save_lists().await;
    assert!(std::fs::read(file(&after)).unwrap().len() < old.len());
}

#[tokio::test]
async fn killed_server_leaves_the_last_complete_snapshot() {
    let before = TestApp::advising().await;
    list(&before, VM_SIZES).await;
    before.app.save_lists().await;
    list(&before, "aksLocations").await;
    // It was killed while it wrote the next one.
    std::fs::write(file(&before).with_extension("new"), b"norman-aks-snap").unwrap();
    let after = restart(&before).await;
    assert_eq!(source(&list(&after, VM_SIZES).await), ("hit", "0", 200));
    assert_eq!(source(&list(&after, "aksLocations").await), ("miss", "0", 200));
    after.app.save_lists().await;
    assert_eq!(source(&list(&restart(&after).await, "aksLocations").await), ("hit", "0", 200));
}

#[tokio::test]
async fn unchanged_lists_are_not_written_again() {
    let before = loaded().await;
    before.app.save_lists().await;
    let written = std::fs::read(file(&before)).unwrap();
    list(&before, VM_SIZES).await;
    list(&before, "aksClusters").await;
    before.app.save_lists().await;
    // A new one would be encrypted with another data key.
    assert!(std::fs::read(file(&before)).unwrap() == written);
    let after = restart(&before).await;
    after.app.save_lists().await;
    assert!(std::fs::read(file(&before)).unwrap() == written);
}

#[tokio::test]
async fn replaced_key_invalidates_snapshots_but_not_the_running_cache() {
    let before = loaded().await;
    before.app.save_lists().await;
    let keys = before.folder.path().join("encryption.keys");
    let old = std::fs::read_to_string(&keys).unwrap();
    let new = STANDARD.encode([9; 32]);
    std::fs::write(&keys, format!("key-new:{new}\n{old}")).unwrap();
    before.app.secrets.reload().await.unwrap();
    assert_eq!(source(&list(&before, VM_SIZES).await), ("hit", "0", 200));
    let sealed_by_old = std::fs::read(file(&before)).unwrap();
    before.app.save_lists().await;
    assert!(!file(&before).exists());
    // The server was killed before it deleted the snapshot.
    std::fs::write(file(&before), sealed_by_old).unwrap();
    let after = start(&before).await;
    assert_eq!(source(&list(&after, VM_SIZES).await), ("miss", "0", 200));
    after.app.save_lists().await;
    assert!(std::fs::read(file(&after)).unwrap().starts_with(b"norman-aks-snapshot-1 0.1.0 key-new\n"));
    assert_eq!(source(&list(&restart(&after).await, VM_SIZES).await), ("hit", "0", 200));
}

#[tokio::test]
async fn snapshot_is_encrypted_and_contains_no_secret() {
    let app = loaded().await;
    for action in ["aksVirtualNetworks", "aksClusters"] {
        assert_eq!(list(&app, action).await.status, 200);
    }
    let id = app.stored_credential(&app.admin).await;
    let path = format!("/meta/aksRegions?cloudCredentialId={id}");
    assert_eq!(app.get(&path).send().await.status, 200);
    app.app.save_lists().await;
    assert_eq!(std::fs::metadata(file(&app)).unwrap().permissions().mode() & 0o777, 0o600);
    let content = std::fs::read(file(&app)).unwrap();
    let end = content.iter().position(|byte| *byte == b'\n').unwrap();
    let words: Vec<_> = std::str::from_utf8(&content[..end]).unwrap().split(' ').collect();
    let sealed = SealedColumns {
        key_id: words[2].to_owned(),
        wrapped_key: content[end + 1..][..60].to_vec(),
        ciphertext: content[end + 61..].to_vec(),
    };
    let plain = app.app.secrets.open_snapshot(words[1], sealed).unwrap();
    let contains = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    for known in ["Standard_D2s_v5", "eastus", app.seed.subscription_id] {
        assert!(contains(&plain, known) && !contains(&content, known), "{known}");
    }
    let admin_secret = app.admin.split_once(':').unwrap().1;
    let hex = |text: &str| text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    for secret in [app.seed.client_secret, app.seed.client_secret_2, admin_secret] {
        for form in [secret.to_owned(), STANDARD.encode(secret).trim_end_matches('=').to_owned(), hex(secret)]
        {
            assert!(!contains(&plain, &form) && !contains(&content, &form), "{form}");
        }
    }
    for part in [app.seed.client_id, app.seed.tenant_id, "Bearer", "eyJ", "aksConfig"] {
        assert!(!contains(&plain, part), "{part}");
    }
}
