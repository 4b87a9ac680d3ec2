//! Slow, hanging and failing loads, and the entries that are served meanwhile.

use std::future::{self, Ready};

use azure::{Cloud, Service};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::oneshot;

use bytes::Bytes;

use super::*;
use crate::service::listings::kind::MAX_STALENESS;
use crate::service::listings::loaded::TypedList;

/// A limit that no test reaches.
const NEVER: Duration = Duration::from_hours(1);

/// A cache whose loads may run for `load`, and whose callers wait for `stale_after` when they have an older entry.
fn cache(clock: &Clock, load: Duration, stale_after: Duration) -> Cache {
    Cache { limits: Limits { load, stale_after }, ..Cache::new(1 << 20, clock.clone()) }
}

fn key(kind: Kind) -> Key {
    Key {
        cloud: Cloud::Public,
        subscription: "s".to_owned(),
        fingerprint: Fingerprint([7; 32]),
        kind,
        scope: Arc::default(),
    }
}

/// Caches a list, and advances the clock past its TTL.
async fn cache_stale_list(cache: &Cache, clock: &Clock, kind: Kind) {
    let lookup = cache.get(key(kind), false, no_login, |_| ready("old")).await.unwrap();
    assert_eq!(lookup.freshness, Freshness::Miss);
    clock.advance(kind.time_to_live() + Duration::from_secs(1));
}

fn ready(text: &'static str) -> Ready<Result<Loaded, azure::Error>> {
    future::ready(Ok(Loaded::body(Bytes::from_static(text.as_bytes()), TypedList::Unused)))
}

/// The login for entries of this process, which must not be called.
fn no_login(_: Duration) -> Ready<Result<(), azure::Error>> {
    panic!("a login for an entry of this process")
}

fn failed(error: azure::Error) -> Ready<Result<Loaded, azure::Error>> {
    future::ready(Err(error))
}

fn text(lookup: &LookupResult) -> &[u8] {
    let Loaded::Body { body, .. } = &*lookup.loaded else { panic!("{lookup:?}") };
    &body.identity().body
}

#[tokio::test]
async fn slow_load_serves_the_stale_entry_and_caches_its_result() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let clock = Clock::manual(1_000_000);
    let cache = cache(&clock, NEVER, Duration::from_millis(1));
    cache_stale_list(&cache, &clock, Kind::Networks).await;
    let (release, held) = oneshot::channel::<()>();
    let slow = |_| async {
        let _ = held.await;
        ready("new").await
    };
    let lookup = cache.get(key(Kind::Networks), false, no_login, slow).await.unwrap();
    assert_eq!((lookup.freshness, text(&lookup)), (Freshness::Stale, &b"old"[..]));
    // The second caller finds the load in flight: it does not start one of its own.
    let lookup = cache.get(key(Kind::Networks), false, no_login, |_| failed(timed_out())).await.unwrap();
    assert_eq!(lookup.freshness, Freshness::Stale);
    let running = cache.loads.get(&key(Kind::Networks)).unwrap();
    release.send(()).unwrap();
    running.outcome().await.unwrap().unwrap();
    let lookup = cache.get(key(Kind::Networks), false, no_login, |_| failed(timed_out())).await.unwrap();
    assert_eq!((lookup.freshness, text(&lookup)), (Freshness::Hit, &b"new"[..]));
    let metrics = recorder.handle().render();
    for line in [
        r#"norman_aks_stale_responses_total{kind="virtual_networks",reason="slow"} 2"#,
        r#"norman_aks_cache_loads_total{kind="virtual_networks",outcome="success"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

fn timed_out() -> azure::Error {
    azure::Error::TimedOut { to: Service::Arm }
}

#[tokio::test]
async fn stale_entry_is_served_at_once_after_a_timeout() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let clock = Clock::manual(1_000_000);
    // A caller that waited would wait for an hour.
    let cache = cache(&clock, Duration::from_millis(1), NEVER);
    cache_stale_list(&cache, &clock, Kind::Clusters).await;
    let lookup = cache.get(key(Kind::Clusters), false, no_login, |_| future::pending()).await.unwrap();
    assert_eq!(lookup.freshness, Freshness::Stale);
    let cache = Cache { limits: Limits { load: NEVER, stale_after: NEVER }, ..cache };
    let (release, held) = oneshot::channel::<()>();
    let slow = |_| async {
        let _ = held.await;
        ready("new").await
    };
    let lookup = cache.get(key(Kind::Clusters), false, no_login, slow).await.unwrap();
    assert_eq!((lookup.freshness, text(&lookup)), (Freshness::Stale, &b"old"[..]));
    // After a load has succeeded, callers wait for the load that follows the TTL of 30 s.
    let running = cache.loads.get(&key(Kind::Clusters)).unwrap();
    release.send(()).unwrap();
    running.outcome().await.unwrap().unwrap();
    clock.advance(Duration::from_secs(31));
    let lookup = cache.get(key(Kind::Clusters), false, no_login, |_| ready("newer")).await.unwrap();
    assert_eq!((lookup.freshness, text(&lookup)), (Freshness::Miss, &b"newer"[..]));
    let metrics = recorder.handle().render();
    for line in [
        r#"norman_aks_stale_responses_total{kind="clusters",reason="failed"} 1"#,
        r#"norman_aks_stale_responses_total{kind="clusters",reason="timed_out"} 1"#,
        r#"norman_aks_cache_loads_total{kind="clusters",outcome="timed_out"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn fresh_request_never_gets_a_stale_entry() {
    let clock = Clock::manual(1_000_000);
    let cache = cache(&clock, NEVER, Duration::from_millis(1));
    cache_stale_list(&cache, &clock, Kind::Networks).await;
    let (release, held) = oneshot::channel::<()>();
    let slow = |_| async {
        let _ = held.await;
        ready("new").await
    };
    let fresh = cache.get(key(Kind::Networks), true, no_login, slow);
    let waiting = async {
        let lookup = cache.get(key(Kind::Networks), false, no_login, |_| failed(timed_out())).await.unwrap();
        release.send(()).unwrap();
        lookup.freshness
    };
    let (fresh, waiting) = tokio::join!(fresh, waiting);
    let fresh = fresh.unwrap();
    assert_eq!((fresh.freshness, text(&fresh), waiting), (Freshness::Miss, &b"new"[..], Freshness::Stale));
    cache.get(key(Kind::Networks), true, no_login, |_| failed(timed_out())).await.unwrap_err();
}

#[tokio::test]
async fn transient_errors_and_unusable_responses_allow_a_stale_entry() {
    let unusable = azure::Error::ForeignLink { host: "elsewhere".to_owned() };
    for (error, allowed) in [
        (timed_out(), true),
        (unusable, true),
        (azure::Error::Endless { pages: 3 }, true),
        (azure::Error::InvalidTenant, false),
        (azure::Error::EmptySecret, false),
    ] {
        let clock = Clock::manual(1_000_000);
        let cache = cache(&clock, NEVER, NEVER);
        cache_stale_list(&cache, &clock, Kind::Networks).await;
        let lookup = cache.get(key(Kind::Networks), false, no_login, |_| failed(error.clone())).await;
        assert_eq!(lookup.is_ok_and(|lookup| lookup.freshness == Freshness::Stale), allowed, "{error}");
    }
}

#[tokio::test]
async fn entry_is_served_for_a_day_after_its_ttl() {
    for kind in Kind::ALL {
        let clock = Clock::manual(1_000_000);
        let cache = cache(&clock, NEVER, NEVER);
        cache_stale_list(&cache, &clock, kind).await;
        clock.advance(MAX_STALENESS.checked_sub(Duration::from_secs(1)).unwrap());
        let lookup = cache.get(key(kind), false, no_login, |_| failed(timed_out())).await.unwrap();
        assert_eq!(lookup.freshness, Freshness::Stale, "{kind:?}");
        clock.advance(Duration::from_secs(1));
        cache.get(key(kind), false, no_login, |_| failed(timed_out())).await.unwrap_err();
    }
}

#[tokio::test]
async fn load_started_before_a_change_is_not_cached() {
    let clock = Clock::manual(1_000_000);
    let cache = cache(&clock, NEVER, NEVER);
    let (release, held) = oneshot::channel::<()>();
    let slow = |_| async {
        let _ = held.await;
        ready("before").await
    };
    let waiting = cache.get(key(Kind::Clusters), false, no_login, slow);
    let changing = async {
        cache.evict(Fingerprint([7; 32]), &[Kind::Clusters]);
        let lookup = cache.get(key(Kind::Clusters), false, no_login, |_| ready("after")).await.unwrap();
        assert_eq!((lookup.freshness, text(&lookup)), (Freshness::Miss, &b"after"[..]));
        release.send(()).unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, changing);
    assert_eq!(text(&waited.unwrap()), b"before");
    let lookup = cache.get(key(Kind::Clusters), false, no_login, |_| failed(timed_out())).await.unwrap();
    assert_eq!((lookup.freshness, text(&lookup)), (Freshness::Hit, &b"after"[..]));
}

#[tokio::test]
async fn load_reason_depends_on_whether_a_caller_waits() {
    let clock = Clock::manual(1_000_000);
    let cache = cache(&clock, NEVER, Duration::from_millis(1));
    for (kind, fresh, expected) in [
        (Kind::Versions, false, LoadReason::Refresh),
        (Kind::Versions, true, LoadReason::Caller),
        (Kind::Networks, false, LoadReason::Caller),
    ] {
        cache_stale_list(&cache, &clock, kind).await;
        let (sender, load_reason) = oneshot::channel();
        let load = |load_reason| {
            sender.send(load_reason).unwrap();
            ready("new")
        };
        cache.get(key(kind), fresh, no_login, load).await.unwrap();
        assert_eq!(load_reason.await.unwrap(), expected, "{kind:?} {fresh}");
        cache.entries.invalidate_all();
    }
}

#[tokio::test]
async fn deferred_refresh_leaves_the_stale_entry() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let clock = Clock::manual(1_000_000);
    let cache = cache(&clock, NEVER, NEVER);
    cache_stale_list(&cache, &clock, Kind::Versions).await;
    let deferred = || azure::Error::Deferred { retry_after: Duration::from_secs(1) };
    for _ in 0..2 {
        let lookup = cache.get(key(Kind::Versions), false, no_login, |_| failed(deferred())).await.unwrap();
        assert_eq!((lookup.freshness, text(&lookup)), (Freshness::Stale, &b"old"[..]));
        if let Some(running) = cache.loads.get(&key(Kind::Versions)) {
            running.outcome().await.unwrap().unwrap_err();
        }
    }
    let line = r#"norman_aks_cache_loads_total{kind="kubernetes_versions",outcome="deferred"} 2"#;
    let metrics = recorder.handle().render();
    assert!(metrics.contains(line), "{metrics}");
}
