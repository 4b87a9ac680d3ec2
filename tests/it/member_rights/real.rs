//! Checks of `attempts`, `keeping` and `leftovers` against a real kube-apiserver, which `tests/real-kubernetes.sh` starts and names
//! in the environment. Only DNS and Azure are simulated: the sandbox returns the real administrator's kubeconfig.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use azure_sandbox::Operation;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::{CLOSED, Cluster, attempts, keeping, leftovers};
use crate::support::app::TestApp;
use crate::support::fault;
use crate::support::test_clusters;

/// The variables with the path of the administrator's kubeconfig, and with the address of the API.
const KUBECONFIG: &str = "NORMAN_AKS_TEST_KUBECONFIG";
const ADDRESS: &str = "NORMAN_AKS_TEST_KUBERNETES";

impl Cluster {
    /// The real cluster, registered as an import.
    async fn real() -> Self {
        let variable = |name: &str| {
            let value = std::env::var_os(name).and_then(|value| value.into_string().ok());
            value.unwrap_or_else(|| panic!("set {name}, or run tests/real-kubernetes.sh"))
        };
        let kubeconfig = std::fs::read(variable(KUBECONFIG)).unwrap();
        let address: SocketAddr = variable(ADDRESS).parse().unwrap();
        let options = cluster_access::Options {
            resolver: Some(Arc::new(move |_| Some(address))),
            ..cluster_access::Options::default()
        };
        let app = TestApp::builder().cluster_access(options).start().await;
        let value = BASE64_STANDARD.encode(kubeconfig);
        let body = json!({"kubeconfigs": [{"name": "clusterAdmin", "value": value}], "value": value,
            "properties": {"kubeConfig": value}});
        app.control
            .add_fault(fault::for_operation(Operation::AdminCredential, fault::body(200, &body.to_string())));
        let owner = app.token("ann").await;
        let id = test_clusters::import(&app, &owner, "real").await;
        app.settle().await;
        let cluster = app.get(&format!("/v3/clusters/{id}")).send().await.json();
        assert_eq!(cluster["state"], "active", "{cluster}");
        println!("kube-apiserver {}", cluster["version"]["gitVersion"]);
        let cluster = Self::with_members(app, id, owner).await;
        cluster.app.server.keep_roles();
        cluster.create_objects().await;
        cluster
    }
}

#[tokio::test]
#[ignore = "needs a real kube-apiserver: tests/real-kubernetes.sh"]
async fn member_cannot_gain_more_rights_in_a_real_cluster() {
    let cluster = Cluster::real().await;
    let count = attempts::try_everything(&cluster).await;
    println!("{count} attempts denied");
    attempts::check_open_namespace(&cluster).await;
    attempts::check_other_roles(&cluster).await;
    println!("open namespace works");
    for (what, is_open) in [("opened", true), ("closed", false)] {
        let start = Instant::now();
        cluster.set_members_label(CLOSED, is_open.then_some("edit")).await;
        cluster.wait_until(what, async || cluster.member_can_edit(CLOSED).await == is_open).await;
        println!("{what} {} ms after the label", start.elapsed().as_millis());
    }
    keeping::check_system_namespaces_stay_closed(&cluster).await;
    println!("system namespaces stay closed");
    keeping::check_deleted_objects_are_recreated(&cluster).await;
    println!("removed roles and bindings come back");
    leftovers::check_removed_owner_keeps_nothing(&cluster).await;
    println!("bindings of a removed owner are gone");
}
