//! Access to clusters, with a fake Kubernetes API.

use std::sync::Arc;
use std::time::Duration;

use cluster_access::{
    Access, ClusterAccess, Error, ForwardOptions, Identity, ImpersonatedUser, Options, ReplayableRequest,
};
use http::Request;
use http_body_util::BodyExt as _;

use crate::support::kubernetes::{ACCOUNT_TOKEN, ADMIN_TOKEN, FakeCluster, HOST};

const FORWARD_OPTIONS: ForwardOptions =
    ForwardOptions { limit: Duration::from_secs(20), is_application: false };
const USER: ImpersonatedUser<'_> = ImpersonatedUser { user: "user-abc", group: "norman-aks:read-only" };

async fn start() -> (FakeCluster, ClusterAccess) {
    let cluster = FakeCluster::start().await;
    let cluster_access = ClusterAccess::new(cluster.options());
    (cluster, cluster_access)
}

#[tokio::test]
async fn version_and_nodes_of_all_pages_are_read() {
    let cluster = FakeCluster::start_with(1_234, true).await;
    let cluster_access = ClusterAccess::new(cluster.options());
    let info = cluster_access.info(&cluster.access(ADMIN_TOKEN)).await.unwrap();
    assert_eq!(info.version["gitVersion"], "v1.32.7");
    assert_eq!(info.node_count, 1_234);
    let paths: Vec<_> = cluster.take_requests().into_iter().map(|request| request.path_and_query).collect();
    assert_eq!(paths.len(), 4, "{paths:?}");
}

#[tokio::test]
async fn removing_absent_service_account_sends_no_delete() {
    let (cluster, cluster_access) = start().await;
    for _ in 0..2 {
        cluster_access.remove_service_account(&cluster.access(ADMIN_TOKEN)).await.unwrap();
    }
    assert!(
        cluster.take_requests().iter().all(|request| request.method != "DELETE"),
        "there was nothing to remove"
    );
}

#[tokio::test]
async fn missing_name_and_silent_cluster_have_different_errors() {
    let cluster = FakeCluster::start().await;
    let options = Options {
        connect_timeout: Duration::from_millis(300),
        info_timeout: Duration::from_millis(600),
        ..cluster.options()
    };
    let cluster_access = ClusterAccess::new(options.clone());
    let unresolvable = Access {
        endpoint: "https://other-1.hcp.westeurope.azmk8s.io".parse().unwrap(),
        ..cluster.access(ADMIN_TOKEN)
    };
    let error = cluster_access.info(&unresolvable).await.unwrap_err();
    assert!(error.is_name_unknown() && !error.is_timeout(), "{error:?}");
    assert!(error.to_string().contains("other-1.hcp.westeurope.azmk8s.io"), "{error}");

    // A listener that accepts connections and sends nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let cluster_access =
        ClusterAccess::new(Options { resolver: Some(Arc::new(move |_| Some(address))), ..options });
    let error = cluster_access.info(&cluster.access(ADMIN_TOKEN)).await.unwrap_err();
    assert!(error.is_timeout() && !error.is_name_unknown(), "{error:?}");

    drop(silent);
    let error = cluster_access.info(&cluster.access(ADMIN_TOKEN)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn only_the_authority_from_azure_is_trusted() {
    let (cluster, other) = (FakeCluster::start().await, FakeCluster::start().await);
    let cluster_access = ClusterAccess::new(cluster.options());
    let access = Access { ca: other.authority.clone().into(), ..cluster.access(ADMIN_TOKEN) };
    let error = cluster_access.info(&access).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(cluster.take_requests().is_empty(), "nothing was sent to the cluster");
    assert!(cluster_access.info(&cluster.access(ADMIN_TOKEN)).await.is_ok());
}

#[tokio::test]
async fn only_hosts_of_aks_are_contacted() {
    let (cluster, cluster_access) = start().await;
    for endpoint in ["https://127.0.0.1", "https://example.org", "http://fake-5a4d.hcp.westeurope.azmk8s.io"]
    {
        let access = Access { endpoint: endpoint.parse().unwrap(), ..cluster.access(ADMIN_TOKEN) };
        let error = cluster_access.info(&access).await.unwrap_err();
        assert!(matches!(error, Error::Endpoint { .. }), "{endpoint}: {error:?}");
    }
    assert!(cluster.take_requests().is_empty());
}

#[tokio::test]
async fn rejected_identity_is_reported_without_its_secret() {
    let (cluster, cluster_access) = start().await;
    let error = cluster_access.info(&cluster.access("canary")).await.unwrap_err();
    assert!(error.is_unauthorized() && !error.is_forbidden(), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert!(error.to_string().starts_with(&format!("{HOST} returned 401")), "{error}");
}

#[tokio::test]
async fn request_is_forwarded_with_impersonation() {
    let (cluster, cluster_access) = start().await;
    let request = Request::post("/api/v1/things?a=%2F&b")
        .header("authorization", "Bearer mine")
        .header("impersonate-user", "root")
        .header("impersonate-group", "system:masters")
        .header("content-type", "application/json")
        .body(axum::body::Body::from("{\"metadata\":{\"name\":\"x\"}}"))
        .unwrap();
    let mut request = ReplayableRequest::new(request);
    let access = cluster.access(ACCOUNT_TOKEN);
    let forwarded = cluster_access.forward(&access, USER, &mut request, FORWARD_OPTIONS).await.unwrap();
    assert_eq!(forwarded.response.status(), 201);
    assert!(forwarded.upgraded.is_none());
    let body = forwarded.response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "{\"metadata\":{\"name\":\"x\"}}");
    let request = cluster.take_requests().remove(0);
    assert_eq!(request.path_and_query, "/api/v1/things?a=%2F&b");
    assert_eq!(request.header("authorization"), [format!("Bearer {ACCOUNT_TOKEN}")]);
    assert_eq!(request.header("impersonate-user"), ["user-abc"]);
    assert_eq!(request.header("impersonate-group"), ["system:authenticated", "norman-aks:read-only"]);
    assert_eq!(request.header("host"), [HOST]);
    assert_eq!(request.header("content-length"), ["25"]);
}

#[tokio::test]
async fn changed_token_is_used_at_once() {
    let (cluster, cluster_access) = start().await;
    for token in [ACCOUNT_TOKEN, ADMIN_TOKEN, ACCOUNT_TOKEN] {
        cluster_access.info(&cluster.access(token)).await.unwrap();
        let used = format!("Bearer {token}");
        assert!(
            cluster.take_requests().iter().all(|request| request.header("authorization") == [used.as_str()])
        );
    }
}

#[tokio::test]
async fn invalid_client_certificate_sends_nothing() {
    let (cluster, cluster_access) = start().await;
    let identity = Identity::Certificate { certificate: b"-".to_vec(), key: "-".into() };
    let error = cluster_access.info(&Access { identity, ..cluster.access(ADMIN_TOKEN) }).await.unwrap_err();
    assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
    assert!(cluster.take_requests().is_empty());
}
