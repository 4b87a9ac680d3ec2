//! Errors for invalid clusters, missing quota or addresses, and missing rights.

use azure_sandbox::Quota;
use serde_json::{Value, json};

use super::{Azure, changed, cluster, pool, small, with};

const POOLS: &str = "/properties/agentPoolProfiles";

fn subnet_id(azure: &Azure, name: &str) -> String {
    format!(
        "{}/resourceGroups/rancher/providers/Microsoft.Network/virtualNetworks/rancher-net/subnets/{name}",
        azure.subscription()
    )
}

fn one_pool(more: Value) -> Value {
    let mut pool = json!({"name": "system", "count": 1, "vmSize": "Standard_DS2_v2", "mode": "System"});
    pool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([pool])
}

#[tokio::test]
async fn invalid_clusters_get_azures_codes() {
    let azure = Azure::start().await;
    let pools = |more: Value| with(small(), POOLS, one_pool(more));
    let network = |more: Value| with(small(), "/properties/networkProfile", more);
    for (body, code, words) in [
        (with(small(), "/location", json!("atlantis")), "LocationNotAvailableForResourceType", "atlantis"),
        (with(small(), "/location", json!("")), "LocationRequired", "location"),
        (with(small(), "/properties/kubernetesVersion", json!("1.12.1")), "K8sVersionNotSupported", "1.12.1"),
        (with(small(), "/properties/dnsPrefix", json!("")), "InvalidParameter", "dnsPrefix"),
        (with(small(), "/identity", Value::Null), "InvalidParameter", "servicePrincipalProfile is missing"),
        (with(small(), POOLS, json!([])), "InvalidParameter", "at least one agent pool"),
        (pools(json!({"mode": "User"})), "MustDefineAtLeastOneSystemPool", "system pool"),
        (pools(json!({"name": "Wrong"})), "InvalidParameter", "agentPoolProfile.name"),
        (pools(json!({"vmSize": "Standard_Nothing"})), "VMSizeNotSupported", "standard_d2s_v3"),
        (pools(json!({"availabilityZones": ["1", "9"]})), "AvailabilityZoneNotSupported", "The zone(s) '9'"),
        (pools(json!({"orchestratorVersion": "1.33.3"})), "NodePoolMcVersionIncompatible", "1.33.3"),
        (pools(json!({"vnetSubnetID": "/x"})), "InvalidParameter", "not the id of a subnet"),
        (
            pools(json!({"vnetSubnetID": subnet_id(&azure, "missing")})),
            "SubnetNotFound",
            "Could not find subnet missing",
        ),
        (network(json!({"networkPolicy": "azure"})), "InvalidParameter", "networkPolicy"),
        (
            network(json!({"serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.9.0.10"})),
            "InvalidParameter",
            "dnsServiceIP",
        ),
        (
            network(json!({"outboundType": "userDefinedRouting"})),
            "InvalidParameter",
            "custom virtual network",
        ),
        (
            with(small(), "/properties/nodeResourceGroup", json!("rancher")),
            "InvalidParameter",
            "exists already",
        ),
        (
            with(
                with(small(), "/identity", json!({"type": "None"})),
                "/properties/servicePrincipalProfile",
                json!({"clientId": "c0ffee00-ffff-4000-8000-000000000000", "secret": "s"}),
            ),
            "ServicePrincipalNotFound",
            "not found in Active Directory tenant",
        ),
    ] {
        let response = azure.put(&cluster("c"), &body).await;
        response.assert_error(400, code, words);
    }
    azure.put(&cluster("bad.name"), &small()).await.assert_error(400, "InvalidParameter", "parameter name");
    azure.put(&cluster("c"), &json!([1])).await.assert_error(400, "InvalidRequestContent", "");
    azure.put(&cluster("made-elsewhere"), &with(small(), "/location", json!("westus2"))).await.assert_error(
        409,
        "InvalidResourceLocation",
        "'eastus'",
    );
    azure.get(&cluster("c")).await.expect(404);
    assert!(
        azure.control().writes().iter().all(|request| request.status != Some(201)),
        "nothing was created"
    );
}

#[tokio::test]
async fn restricted_sizes_are_rejected() {
    let azure = Azure::start().await;
    let skus = "/providers/Microsoft.Compute/skus?api-version=2021-07-01&$filter=location%20eq%20'eastus'";
    let skus = azure.get(skus).await.at("/value");
    let restricted =
        skus.as_array().unwrap().iter().find(|sku| {
            sku["resourceType"] == "virtualMachines" && sku["restrictions"][0]["type"] == "Location"
        });
    let name = restricted.unwrap()["name"].as_str().unwrap();
    let body = with(small(), POOLS, one_pool(json!({"vmSize": name})));
    azure.put(&cluster("c"), &body).await.assert_error(
        400,
        "BadRequest",
        "is not allowed in your subscription",
    );
    // The sizes and zones in the examples of the Terraform provider are available.
    for (size, zones) in [("Standard_DS2_v2", json!(["1", "2", "3"])), ("Standard_D4s_v3", json!(["1"]))] {
        let body = with(small(), POOLS, one_pool(json!({"vmSize": size, "availabilityZones": zones})));
        let created = azure.put(&cluster("c"), &body).await.expect(201);
        azure.finish(&created).await;
        let deletion = azure.delete(&cluster("c")).await.expect(202);
        azure.finish(&deletion).await;
    }
}

#[tokio::test]
async fn subnet_must_have_enough_addresses() {
    let azure = Azure::start().await;
    let azure_cni = |services: &str, more: Value| {
        let body = with(small(), POOLS, one_pool(more));
        let dns = services.replace(".0/16", ".10");
        with(
            body,
            "/properties/networkProfile",
            json!({"networkPlugin": "azure", "serviceCidr": services, "dnsServiceIP": dns}),
        )
    };
    let nodes = subnet_id(&azure, "nodes");
    let body = azure_cni("10.40.0.0/16", json!({"vnetSubnetID": nodes}));
    let overlap = azure.put(&cluster("c"), &body).await;
    overlap.assert_error(
        400,
        "ServiceCidrOverlapExistingSubnetsCidr",
        "conflicted with an existing subnet CIDR 10.40.0.0/20",
    );
    assert_eq!(overlap.at("/target"), "networkProfile.serviceCIDR");
    let small_subnet = subnet_id(&azure, "services-lb");
    let body = azure_cni("10.1.0.0/16", json!({"vnetSubnetID": small_subnet, "count": 3, "maxPods": 110}));
    azure.put(&cluster("c"), &body).await.assert_error(
        400,
        "InsufficientSubnetSize",
        "Pre-allocated IPs 444 exceeds IPs available 251",
    );
    let body = azure_cni(
        "10.1.0.0/16",
        json!({"vnetSubnetID": nodes, "count": 5, "maxPods": 250, "vmSize": "Standard_D2s_v3"}),
    );
    azure.create_cluster("c", &body).await;
    // The addresses of all pools in the subnet are added up, including those of a new pool.
    let body = json!({"properties": {"count": 9, "vmSize": "Standard_D2s_v3", "maxPods": 250, "vnetSubnetID": nodes}});
    azure.put(&pool("c", "more"), &body).await.assert_error(
        400,
        "InsufficientSubnetSize",
        "exceeds IPs available 4091",
    );
    let body = json!({"properties": {"count": 1, "vmSize": "Standard_D2s_v3"}});
    azure.put(&pool("c", "more"), &body).await.assert_error(
        400,
        "InvalidParameter",
        "does not have subnet defined",
    );
    let other_region = format!(
        "{}/resourceGroups/branch-office/providers/Microsoft.Network/virtualNetworks/far-away/subnets/default",
        azure.subscription()
    );
    let body = azure_cni("10.1.0.0/16", json!({"vnetSubnetID": other_region}));
    azure.put(&cluster("d"), &body).await.assert_error(400, "InvalidParameter", "is in westeurope");
}

#[tokio::test]
async fn immutable_changes_name_the_property() {
    let azure = Azure::start().await;
    let created = azure.create_cluster("c", &small()).await;
    for (pointer, value, target) in [
        ("/properties/dnsPrefix", json!("other"), "dnsPrefix"),
        ("/properties/nodeResourceGroup", json!("other"), "nodeResourceGroup"),
        ("/properties/networkProfile/networkPlugin", json!("azure"), "networkProfile.networkPlugin"),
        ("/properties/networkProfile/serviceCidr", json!("10.7.0.0/16"), "networkProfile.serviceCidr"),
        ("/properties/networkProfile/podCidr", json!("10.7.0.0/16"), "networkProfile.podCidr"),
        (
            "/properties/apiServerAccessProfile",
            json!({"enablePrivateCluster": true}),
            "apiServerAccessProfile.enablePrivateCluster",
        ),
        ("/properties/agentPoolProfiles/0/vmSize", json!("Standard_D2s_v3"), "agentPoolProfile.vmSize"),
    ] {
        let response = azure.put(&cluster("c"), &changed(&created, pointer, value)).await;
        response.assert_error(400, "PropertyChangeNotAllowed", &format!("'{target}'"));
        assert_eq!(response.at("/target"), target);
    }
    assert_eq!(azure.get(&cluster("c")).await.json(), created.json(), "a rejected change has no effect");
    // A different spelling is not a change.
    let body = changed(&created, "/properties/networkProfile/loadBalancerSku", json!("Standard"));
    azure.put(&cluster("c"), &body).await.expect(200);
}

#[tokio::test]
async fn quotas_limit_nodes() {
    let azure = Azure::start().await;
    let usages = "/providers/Microsoft.Compute/locations/eastus/usages";
    let usage = async |name: &str| {
        let all = azure.get(usages).await.expect(200).at("/value");
        let usage =
            all.as_array().unwrap().iter().find(|usage| usage["name"]["value"] == name).cloned().unwrap();
        (usage["currentValue"].as_i64().unwrap(), usage["limit"].as_i64().unwrap())
    };
    let (family_cores, limit) = usage("standardDSv2Family").await;
    let (regional_cores, regional_limit) = usage("cores").await;
    assert!(
        family_cores < limit && regional_cores < regional_limit && regional_cores > 0,
        "{family_cores} {limit} {regional_cores} {regional_limit}"
    );
    azure.create_cluster("c", &with(small(), POOLS, one_pool(json!({"count": 3})))).await;
    assert_eq!(usage("standardDSv2Family").await, (family_cores + 6, limit));
    assert_eq!(usage("cores").await, (regional_cores + 6, regional_limit));

    let limit = u32::try_from(family_cores + 8).unwrap();
    let quota = Quota { region: "eastus".to_owned(), name: "standardDSv2Family".to_owned(), limit };
    azure.control().set_quota(&azure.account.subscription_id, quota.clone());
    assert_eq!(azure.control().quotas(&azure.account.subscription_id), [quota]);
    let scale = |count: u32| json!({"properties": {"count": count}});
    let response = azure.put(&pool("c", "system"), &scale(5)).await;
    response.assert_error(
        400,
        "ErrCode_InsufficientVCPUQuota",
        "Insufficient vcpu quota requested 4, remaining 2 for family standardDSv2Family for region eastus",
    );
    let put = azure.put(&pool("c", "system"), &scale(4)).await.expect(200);
    azure.finish(&put).await;
    let deletion = azure.delete(&cluster("c")).await.expect(202);
    azure.finish(&deletion).await;
    assert_eq!(usage("standardDSv2Family").await.0, family_cores);
    azure.get("/providers/Microsoft.Compute/locations/atlantis/usages").await.assert_error(
        400,
        "NoRegisteredProviderFound",
        "",
    );
}

#[tokio::test]
async fn low_quota_account_can_create_only_a_small_cluster() {
    let azure = Azure::start_as("low-quota").await;
    azure.put("/resourceGroups/rancher", &json!({"location": "eastus"})).await.expect(201);
    let large = with(small(), POOLS, one_pool(json!({"count": 3})));
    azure.put(&cluster("c"), &large).await.assert_error(
        400,
        "ErrCode_InsufficientVCPUQuota",
        "left regional vcpu quota 4, requested quota 6",
    );
    azure.create_cluster("c", &small()).await;
}

#[tokio::test]
async fn reader_cannot_change_anything() {
    let mut azure = Azure::start().await;
    azure.switch_account("reader").await;
    azure.get(&cluster("made-elsewhere")).await.expect(200);
    let id = format!("{}{}", azure.subscription(), cluster("made-elsewhere"));
    for (response, action, scope) in [
        (azure.put(&cluster("made-elsewhere"), &small()).await, "managedClusters/write", &*id),
        (azure.delete(&cluster("made-elsewhere")).await, "managedClusters/delete", &id),
        (
            azure.post(&format!("{}/listClusterAdminCredential", cluster("made-elsewhere"))).await,
            "managedClusters/listClusterAdminCredential/action",
            &id,
        ),
        (
            azure.put("/resourceGroups/new", &json!({"location": "eastus"})).await,
            "Microsoft.Resources/subscriptions/resourceGroups/write",
            &format!("{}/resourceGroups/new", azure.subscription()),
        ),
        (
            azure.post("/providers/Microsoft.ContainerService/register").await,
            "register/action",
            &azure.subscription(),
        ),
    ] {
        response.assert_error(403, "AuthorizationFailed", &format!("{action}' over scope '{scope}'"));
    }
    azure.switch_account("unregistered").await;
    azure.post("/providers/Microsoft.ContainerService/register").await.assert_error(
        403,
        "AuthorizationFailed",
        "",
    );
}

#[tokio::test]
async fn policy_requires_its_tag() {
    let azure = Azure::start_as("policy").await;
    azure.put("/resourceGroups/rancher", &json!({"location": "eastus"})).await.expect(201);
    let response = azure.put(&cluster("c"), &small()).await;
    response.assert_error(
        403,
        "RequestDisallowedByPolicy",
        "was disallowed by policy. Policy identifiers: '[{",
    );
    assert_eq!(response.at("/error/target"), "c");
    assert_eq!(response.at("/error/additionalInfo/0/type"), "PolicyViolation");
    azure.put(&cluster("c"), &with(small(), "/tags", json!({"cost-center": "7"}))).await.expect(201);
}
