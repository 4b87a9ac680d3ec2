//! Reaching clusters, what they say about themselves, and what is kept in them, against a Kubernetes API that is played.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster_access::{Access, Downstream, Error, Identity, Options, Outgoing, Person, Way};
use http::Request;
use http_body_util::BodyExt as _;

use crate::support::kubernetes::{ACCOUNT, ADMIN, FakeCluster, HOST};

const WAY: Way = Way { limit: Duration::from_secs(20), leads_inside: false };
const SOMEBODY: Person<'_> = Person { user: "user-abc", group: "norman-aks:read-only" };

#[tokio::test]
async fn a_cluster_tells_its_version_and_how_many_nodes_it_has_over_several_pages() {
    let cluster = FakeCluster::with(1_234, true).await;
    let downstream = Downstream::new(cluster.options());
    let facts = downstream.facts(&cluster.access(ADMIN)).await.unwrap();
    assert_eq!(facts.version["gitVersion"], "v1.32.7");
    assert_eq!(facts.node_count, 1_234);
    let asked: Vec<_> = cluster.seen().into_iter().map(|seen| seen.address).collect();
    assert_eq!(asked.len(), 4, "{asked:?}");
}

#[tokio::test]
async fn removal_of_the_service_account_may_be_repeated() {
    let cluster = FakeCluster::start().await;
    let downstream = Downstream::new(cluster.options());
    for _ in 0..2 {
        downstream.remove_service_account(&cluster.access(ADMIN)).await.unwrap();
    }
    assert!(cluster.seen().iter().all(|seen| seen.method != "DELETE"), "there was nothing to remove");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_from_a_cluster_that_does_not_answer() {
    let cluster = FakeCluster::start().await;
    let limits = Options {
        connect_limit: Duration::from_millis(300),
        facts_limit: Duration::from_millis(600),
        ..cluster.options()
    };
    let downstream = Downstream::new(limits.clone());
    let other = Access {
        endpoint: "https://other-1.hcp.westeurope.azmk8s.io".parse().unwrap(),
        ..cluster.access(ADMIN)
    };
    let error = downstream.facts(&other).await.unwrap_err();
    assert!(error.is_name_unknown() && !error.is_timeout(), "{error:?}");
    assert!(error.to_string().contains("other-1.hcp.westeurope.azmk8s.io"), "{error}");

    // Takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let downstream = Downstream::new(Options { resolver: Some(Arc::new(move |_| Some(address))), ..limits });
    let started = Instant::now();
    let error = downstream.facts(&cluster.access(ADMIN)).await.unwrap_err();
    assert!(error.is_timeout() && !error.is_name_unknown(), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(20));

    drop(silent);
    let error = downstream.facts(&cluster.access(ADMIN)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn only_the_authority_that_azure_named_counts() {
    let (cluster, other) = (FakeCluster::start().await, FakeCluster::start().await);
    let downstream = Downstream::new(cluster.options());
    let access = Access { ca: other.authority.clone().into(), ..cluster.access(ADMIN) };
    let error = downstream.facts(&access).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(cluster.seen().is_empty(), "nothing was said to it");
    assert!(downstream.facts(&cluster.access(ADMIN)).await.is_ok());
}

#[tokio::test]
async fn nothing_but_hosts_of_aks_is_asked() {
    let cluster = FakeCluster::start().await;
    let downstream = Downstream::new(cluster.options());
    for endpoint in ["https://127.0.0.1", "https://example.org", "http://fake-5a4d.hcp.westeurope.azmk8s.io"]
    {
        let access = Access { endpoint: endpoint.parse().unwrap(), ..cluster.access(ADMIN) };
        let error = downstream.facts(&access).await.unwrap_err();
        assert!(matches!(error, Error::Endpoint { .. }), "{endpoint}: {error:?}");
    }
    assert!(cluster.seen().is_empty());
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so_and_no_secret_is_in_the_words() {
    let cluster = FakeCluster::start().await;
    let downstream = Downstream::new(cluster.options());
    let error = downstream.facts(&cluster.access("canary")).await.unwrap_err();
    assert!(error.is_unauthorized() && !error.is_forbidden(), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert!(error.to_string().starts_with(&format!("{HOST} answers 401")), "{error}");
}

#[tokio::test]
async fn a_request_is_passed_on_as_the_person_with_the_group_of_his_part() {
    let cluster = FakeCluster::start().await;
    let downstream = Downstream::new(cluster.options());
    let request = Request::post("/api/v1/things?a=%2F&b")
        .header("authorization", "Bearer mine")
        .header("impersonate-user", "root")
        .header("impersonate-group", "system:masters")
        .header("content-type", "application/json")
        .body(axum::body::Body::from("{\"metadata\":{\"name\":\"x\"}}"))
        .unwrap();
    let mut outgoing = Outgoing::new(request);
    let access = cluster.access(ACCOUNT);
    let answer = downstream.forward(&access, SOMEBODY, &mut outgoing, WAY).await.unwrap();
    assert_eq!(answer.response.status(), 201);
    assert!(answer.tunnel.is_none());
    let body = answer.response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "{\"metadata\":{\"name\":\"x\"}}");
    let seen = cluster.seen().remove(0);
    assert_eq!(seen.address, "/api/v1/things?a=%2F&b");
    assert_eq!(seen.header("authorization"), [format!("Bearer {ACCOUNT}")]);
    assert_eq!(seen.header("impersonate-user"), ["user-abc"]);
    assert_eq!(seen.header("impersonate-group"), ["system:authenticated", "norman-aks:read-only"]);
    assert_eq!(seen.header("host"), [HOST]);
    assert_eq!(seen.header("content-length"), ["25"]);
}

#[tokio::test]
async fn a_changed_token_is_used_at_once() {
    let cluster = FakeCluster::start().await;
    let downstream = Downstream::new(cluster.options());
    for token in [ACCOUNT, ADMIN, ACCOUNT] {
        downstream.facts(&cluster.access(token)).await.unwrap();
        let used = format!("Bearer {token}");
        assert!(cluster.seen().iter().all(|seen| seen.header("authorization") == [used.as_str()]));
    }
}

#[tokio::test]
async fn a_client_certificate_that_is_none_is_refused_before_anything_is_sent() {
    let cluster = FakeCluster::start().await;
    let downstream = Downstream::new(cluster.options());
    let identity = Identity::Certificate { certificate: b"-".to_vec(), key: "-".into() };
    let error = downstream.facts(&Access { identity, ..cluster.access(ADMIN) }).await.unwrap_err();
    assert!(matches!(error, Error::Material(_)), "{error:?}");
    assert!(cluster.seen().is_empty());
}
