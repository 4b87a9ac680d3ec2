//! Recording under load, without a database, and while stopping.

use std::net::{IpAddr, Ipv4Addr};

use uuid::Uuid;

use super::event::MAX_ID_LEN;
use super::*;
use crate::service::Caller;
use crate::store::audit::Filter;
use crate::store::{self, AuditRow, Store};

struct TestContext {
    _directory: tempfile::TempDir,
    store: Store,
    clock: Clock,
}

async fn context() -> TestContext {
    let directory = tempfile::tempdir().expect("directory");
    let url = store::sqlite_url(&directory.path().join("aks.db"));
    let store = Store::connect(&url, &store::Options::default()).await.expect("open");
    store.migrate().await.expect("migrate");
    TestContext { _directory: directory, store, clock: Clock::manual(1_787_220_672_123) }
}

impl TestContext {
    fn audit_log(&self, options: &Options) -> AuditLog {
        AuditLog::start(self.store.clone(), self.clock.clone(), options)
    }

    async fn stored(&self) -> Vec<AuditRow> {
        store::audit::list(&self.store, u32::MAX, &Filter::default()).await.expect("list")
    }
}

fn event(object_id: &str) -> AuditEvent {
    let caller = Caller {
        user_id: "user-a".to_owned(),
        user_name: "ann".to_owned(),
        admin: false,
        token_name: "token-a".to_owned(),
        cluster_id: None,
    };
    AuditEvent::new(&Arc::new(caller), Action::Use, "cloudCredential", object_id)
}

#[tokio::test]
async fn record_has_the_fields_of_its_event_and_a_uuid_v7() {
    let context = context().await;
    let audit_log = context.audit_log(&Options::default());
    let address = Some(IpAddr::from(Ipv4Addr::LOCALHOST));
    let refused = event("cc-a").outcome(Outcome::Refused).request(&"request-1".into(), address);
    audit_log.record(refused).await;
    audit_log.record(event(&"x".repeat(1_000))).await;
    audit_log.flush().await;
    let rows = context.stored().await;
    let expected = AuditRow {
        id: rows[1].id.clone(),
        at_ms: 1_787_220_672_123,
        user_id: "user-a".to_owned(),
        user_name: "ann".to_owned(),
        token_name: "token-a".to_owned(),
        action: "use".to_owned(),
        object_type: "cloudCredential".to_owned(),
        object_id: "cc-a".to_owned(),
        outcome: "refused".to_owned(),
        request_id: "request-1".to_owned(),
        remote: "127.0.0.1".to_owned(),
        detail: String::new(),
        counted: None,
    };
    assert_eq!(rows[1], expected);
    assert_eq!(rows[0].object_id.len(), MAX_ID_LEN);
    let id = Uuid::parse_str(&rows[1].id).expect("uuid");
    let (seconds, nanos) = id.get_timestamp().expect("a version with time").to_unix();
    assert_eq!((id.get_version_num(), seconds, nanos / 1_000_000), (7, 1_787_220_672, 123));
    audit_log.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_queue_keeps_all_events_and_the_order_of_each_writer() {
    let context = context().await;
    let audit_log = context.audit_log(&Options { queue_capacity: 4, ..Options::default() });
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let audit_log = audit_log.clone();
        writers.spawn(async move {
            for n in 0..250 {
                audit_log.record(event(&format!("{writer}-{n:03}"))).await;
            }
        });
    }
    writers.join_all().await;
    audit_log.stop(Duration::from_secs(30)).await;
    let mut rows = context.stored().await;
    assert_eq!(rows.len(), 2_000);
    rows.reverse();
    for writer in 0..8 {
        let own_rows = rows.iter().filter(|row| row.object_id.starts_with(&format!("{writer}-")));
        let own_ids: Vec<&str> = own_rows.map(|row| row.object_id.as_str()).collect();
        assert_eq!(own_ids.len(), 250);
        assert!(own_ids.is_sorted(), "in request order");
    }
}

#[tokio::test]
async fn stop_without_database_logs_pending_events() {
    let context = context().await;
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let audit_log = context.audit_log(&Options::default());
    context.store.close().await;
    audit_log.record(event("cc-lost-1")).await;
    audit_log.record(event("cc-lost-2")).await;
    let stopped = tokio::time::timeout(Duration::from_secs(10), audit_log.stop(Duration::from_millis(50)));
    stopped.await.expect("in time");
    audit_log.record(event("cc-late")).await;
    let text = lines.text();
    for id in ["cc-lost-1", "cc-lost-2", "cc-late"] {
        assert!(text.contains(&format!("object_id=\"{id}\"")), "{id} in {text}");
    }
    assert!(text.contains("audit queue blocked: database unavailable"), "{text}");
    tokio::time::timeout(Duration::from_secs(5), audit_log.flush()).await.expect("nothing to wait for");
    tokio::time::timeout(Duration::from_secs(5), audit_log.stop(Duration::ZERO))
        .await
        .expect("already stopped");
}

#[tokio::test]
async fn counted_events_have_one_record_per_minute() {
    let context = context().await;
    // 10:11:12.123, so that the minute is far from its end.
    let start_ms = context.clock.now_ms();
    let audit_log = context.audit_log(&Options::default());
    let counts = async || {
        audit_log.flush().await;
        let rows = context.stored().await.into_iter();
        rows.map(|row| {
            (row.object_id, row.counted.map(|counted| (counted.count, counted.last_ms - start_ms)))
        })
        .collect::<Vec<_>>()
    };
    let counted_use = || event("cc-a").request(&"r".into(), None).counted();
    for _ in 0..3 {
        audit_log.record(counted_use()).await;
    }
    context.clock.advance(Duration::from_secs(2));
    audit_log.record(counted_use()).await;
    audit_log.record(counted_use().outcome(Outcome::Refused)).await;
    let counted_a = ("cc-a".to_owned(), Some((4, 2_000)));
    let refused_a = ("cc-a".to_owned(), None);
    assert_eq!(counts().await, [refused_a.clone(), counted_a.clone()]);
    audit_log.record(event("cc-b").counted()).await;
    context.clock.advance(Duration::from_secs(3));
    audit_log.record(counted_use()).await;
    let counted_a = ("cc-a".to_owned(), Some((5, 5_000)));
    let counted_b = ("cc-b".to_owned(), Some((1, 2_000)));
    assert_eq!(counts().await, [counted_b.clone(), refused_a.clone(), counted_a.clone()]);
    // Unwritten counts of a past minute are written with those of the next.
    audit_log.record(counted_use()).await;
    context.clock.advance(Duration::from_mins(1));
    audit_log.record(counted_use()).await;
    let counted_a = ("cc-a".to_owned(), Some((6, 5_000)));
    let next_minute = ("cc-a".to_owned(), Some((1, 65_000)));
    assert_eq!(
        counts().await,
        [next_minute.clone(), counted_b.clone(), refused_a.clone(), counted_a.clone()]
    );
    audit_log.record(counted_use()).await;
    audit_log.stop(Duration::from_secs(5)).await;
    assert_eq!(
        context.stored().await[0].counted.map(|counted| counted.count),
        Some(2),
        "a stop writes the counts"
    );
}

#[tokio::test]
async fn each_use_has_a_record_if_configured() {
    let context = context().await;
    let audit_log = context.audit_log(&Options { record_each: true, ..Options::default() });
    for _ in 0..3 {
        audit_log.record(event("cc-a").counted()).await;
    }
    audit_log.stop(Duration::from_secs(5)).await;
    let rows = context.stored().await;
    assert_eq!((rows.len(), rows.iter().filter(|row| row.counted.is_some()).count()), (3, 0));
}

#[tokio::test]
async fn old_events_are_pruned_unless_kept_forever() {
    let context = context().await;
    let hour = Duration::from_hours(1);
    for retention in [hour, Duration::ZERO] {
        context.clock.advance(Duration::from_secs(1));
        let audit_log = context.audit_log(&Options { retention, ..Options::default() });
        audit_log.record(event("old")).await;
        audit_log.stop(Duration::from_secs(5)).await;
        context.clock.advance(hour + Duration::from_millis(1));
        let audit_log = context.audit_log(&Options { retention, ..Options::default() });
        audit_log.record(event("young")).await;
        audit_log.flush().await;
        let remaining =
            async || context.stored().await.into_iter().map(|row| row.object_id).collect::<Vec<_>>();
        if retention.is_zero() {
            assert_eq!(remaining().await, ["young", "old", "young"], "kept for ever");
        } else {
            // Pruning runs in the background at startup.
            let pruned = async {
                while remaining().await.len() > 1 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(5), pruned).await.expect("pruned");
            assert_eq!(remaining().await, ["young"]);
        }
        audit_log.stop(Duration::from_secs(5)).await;
    }
}

/// A log writer whose output tests can read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("lock").clone()).expect("text")
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
