//! Lists and other responses from the seed data.

use serde_json::{Value, json};

use super::{Azure, PUBLIC, assert_no_placeholder, azure_client, seed, versions_of};

#[tokio::test]
async fn subscription_has_its_tenant_in_newer_versions() {
    let azure = Azure::start().await;
    let old = azure.get("?api-version=2016-06-01").await.json();
    assert_eq!((&old["subscriptionId"], &old["state"]), (&json!(seed().subscription_id), &json!("Enabled")));
    assert!(old.get("tenantId").is_none());
    let new = azure.get("?api-version=2022-12-01").await.json();
    assert_eq!(new["tenantId"], seed().tenant_id);
}

#[tokio::test]
async fn locations_depend_on_the_api_version() {
    let azure = Azure::start().await;
    let old = azure.get("/locations?api-version=2016-06-01").await.items();
    let find_location = |items: &[Value], name: &str| {
        items.iter().find(|item| item["name"] == name).cloned().unwrap_or_default()
    };
    let mut keys: Vec<String> = find_location(&old, "eastus").as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["displayName", "id", "latitude", "longitude", "name"]);
    assert!(find_location(&old, "europe").is_null(), "no logical regions");

    let new = azure.get("/Locations?Api-Version=2022-12-01").await.items();
    assert!(new.len() > old.len());
    let eastus = find_location(&new, "eastus");
    assert_eq!(eastus["metadata"]["regionType"], "Physical");
    assert_eq!(eastus["availabilityZoneMappings"].as_array().unwrap().len(), 3);
    assert_eq!(eastus["id"], format!("/subscriptions/{}/locations/eastus", seed().subscription_id));
    assert_eq!(find_location(&new, "europe")["metadata"]["regionType"], "Logical");
    assert!(
        find_location(&new, "westus").get("availabilityZoneMappings").is_none(),
        "a region without zones"
    );
}

#[tokio::test]
async fn both_lists_of_sizes_agree() {
    let azure = Azure::start().await;
    let sizes = azure
        .get("/providers/Microsoft.Compute/locations/EastUS/vmSizes?api-version=2024-03-01")
        .await
        .items();
    let size = sizes.iter().find(|size| size["name"] == "Standard_D4s_v5").unwrap();
    assert_eq!(
        (&size["numberOfCores"], &size["memoryInMB"], &size["osDiskSizeInMB"]),
        (&json!(4), &json!(16_384), &json!(1_047_552))
    );
    let skus_path = "/providers/Microsoft.Compute/skus?api-version=2021-07-01&$filter=";
    let skus = azure.get(&format!("{skus_path}location%20eq%20'EastUS'")).await.items();
    let vm_skus: Vec<_> = skus.iter().filter(|sku| sku["resourceType"] == "virtualMachines").collect();
    assert_eq!(vm_skus.len(), sizes.len());
    assert!(vm_skus.len() > 1_000 && skus.len() > vm_skus.len());
    let sku = vm_skus.iter().find(|sku| sku["name"] == "Standard_D4s_v5").unwrap();
    assert_eq!(sku["locations"], json!(["eastus"]));
    let capability = |name: &str| {
        let all = sku["capabilities"].as_array().unwrap();
        all.iter().find(|capability| capability["name"] == name).unwrap()["value"].clone()
    };
    assert_eq!((capability("vCPUs"), capability("MemoryGB")), (json!("4"), json!("16")));
    assert_eq!(capability("AcceleratedNetworkingEnabled"), "True");
    let reason = vm_skus.iter().find_map(|sku| sku["restrictions"][0]["reasonCode"].as_str());
    assert_eq!(reason, Some("NotAvailableForSubscription"));

    for unknown_location in ["atlantis", "East US", "eastus''x"] {
        let filter = format!("location eq '{unknown_location}'").replace(' ', "%20");
        assert!(azure.get(&format!("{skus_path}{filter}")).await.items().is_empty(), "{unknown_location}");
    }
}

#[tokio::test]
async fn large_responses_are_compressed_on_request() {
    let azure = Azure::start().await;
    let token = azure.token.clone();
    let url = format!(
        "{PUBLIC}/subscriptions/{}/providers/Microsoft.Compute/skus?api-version=2021-07-01&$filter=location%20eq%20'westeurope'",
        seed().subscription_id
    );
    let client = azure_client::builder(&azure.sandbox).gzip(false).build().unwrap();
    let request = client.get(&url).bearer_auth(&token);
    let uncompressed = request.try_clone().unwrap().send().await.unwrap();
    assert!(!uncompressed.headers().contains_key("content-encoding"));
    let compressed = request.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(compressed.headers()["content-encoding"], "gzip");
    let (uncompressed, compressed) = (uncompressed.bytes().await.unwrap(), compressed.bytes().await.unwrap());
    assert!(compressed.len() * 4 < uncompressed.len(), "{} of {}", compressed.len(), uncompressed.len());
    assert_eq!(azure.fetch(&url, Some(&token)).await.text.as_bytes(), &*uncompressed);
}

#[tokio::test]
async fn kubernetes_versions_have_plans_and_upgrades() {
    let azure = Azure::start().await;
    let path =
        "/providers/Microsoft.ContainerService/locations/eastus/kubernetesVersions?api-version=2024-02-01";
    let minors = versions_of(&azure.get(path).await);
    let plans = |minor: &Value| minor["capabilities"]["supportPlan"].as_array().unwrap().clone();
    assert_eq!(minors.values().filter(|minor| minor["isDefault"] == true).count(), 1);
    assert_eq!(minors.values().filter(|minor| minor["isPreview"] == true).count(), 1);
    assert!(minors.values().any(|minor| plans(minor) == [json!("AKSLongTermSupport")]));
    assert!(minors.values().any(|minor| plans(minor).len() == 2));
    let seed = seed();
    let upgrades = minors["1.32"]["patchVersions"][seed.kubernetes_version]["upgrades"].as_array().unwrap();
    assert!(upgrades.contains(&json!(seed.kubernetes_version_2)));
    assert!(minors["1.33"]["patchVersions"].get(seed.kubernetes_version_2).is_some());
}

#[tokio::test]
async fn networks_have_all_forms_of_prefixes() {
    let azure = Azure::start().await;
    let all = azure.get("/providers/microsoft.network/VIRTUALNETWORKS?api-version=2023-11-01").await.items();
    let seed = seed();
    let find_network = |name: &str| all.iter().find(|network| network["name"] == name).unwrap();
    let seeded = find_network(seed.virtual_network);
    assert_eq!(seeded["location"], seed.location);
    assert!(seeded["id"].as_str().unwrap().contains(&format!("/resourceGroups/{}/", seed.resource_group)));
    let subnets = seeded["properties"]["subnets"].as_array().unwrap();
    assert!(subnets.iter().any(|subnet| subnet["name"] == seed.subnet));
    let list_only = &find_network("single-by-list")["properties"]["subnets"][0]["properties"];
    assert!(list_only.get("addressPrefix").is_none());
    assert_eq!(list_only["addressPrefixes"], json!(["192.168.16.0/24"]));
    let ipv6_prefix =
        &find_network("dual-stack")["properties"]["subnets"][1]["properties"]["addressPrefixes"][0];
    assert!(ipv6_prefix.as_str().unwrap().contains(':'));
    assert_eq!(find_network("nothing-cut-yet")["properties"]["subnets"], json!([]));
    assert!(all.iter().any(|network| network["location"] == "westeurope"));
    assert_no_placeholder(&all);
    let path =
        "/resourceGroups/CONNECTIVITY/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01";
    assert_eq!(azure.get(path).await.items().len(), 2);
}

#[tokio::test]
async fn urls_ignore_letter_case() {
    let azure = Azure::start().await;
    let version = "api-version=2024-02-01";
    let all =
        azure.get(&format!("/providers/Microsoft.ContainerService/managedClusters?{version}")).await.items();
    let ids: Vec<&str> = all.iter().map(|cluster| cluster["id"].as_str().unwrap()).collect();
    assert!(ids.iter().any(|id| id.contains("/resourcegroups/")));
    assert!(ids.iter().any(|id| id.contains("/resourceGroups/")));
    assert!(all.iter().any(|cluster| cluster["properties"].get("enableRBAC").is_none()));
    assert_no_placeholder(&all);
    let seed = seed();
    let base = "/resourcegroups";
    let resource_type = "providers/Microsoft.ContainerService/managedclusters";
    let (group, name) = (seed.resource_group.to_uppercase(), seed.imported_cluster_name.to_uppercase());
    let single = azure.get(&format!("{base}/{group}/{resource_type}/{name}?{version}")).await.json();
    assert_eq!(
        (&single["name"], &single["location"]),
        (&json!(seed.imported_cluster_name), &json!(seed.location))
    );
    assert_eq!(single["properties"]["provisioningState"], "Succeeded");
    for (group, name, code) in
        [("rancher", "missing", "ResourceNotFound"), ("missing", "missing", "ResourceGroupNotFound")]
    {
        let response = azure.get(&format!("{base}/{group}/{resource_type}/{name}?{version}")).await;
        assert_eq!(response.error(), (404, code.to_owned()));
    }
}

#[tokio::test]
async fn lists_are_paged() {
    let azure = Azure::start().await;
    let token = azure.token.clone();
    let base = format!("{PUBLIC}/subscriptions/{}/providers", seed().subscription_id);
    for (path, page_size) in [
        ("Microsoft.Network/virtualNetworks?api-version=2023-11-01", 3),
        ("Microsoft.ContainerService/managedClusters?api-version=2024-02-01", 2),
        ("Microsoft.Compute/skus?api-version=2021-07-01&$filter=location%20eq%20'westus'", 400),
    ] {
        azure.control().set_page_size(None);
        let url = format!("{base}/{path}");
        let unpaged = azure.fetch(&url, Some(&token)).await;
        assert!(unpaged.json().get("nextLink").is_none());
        azure.control().set_page_size(Some(page_size));
        let (mut next, mut items) = (Some(url), Vec::new());
        while let Some(url) = next {
            assert!(url.starts_with(&base), "{url}");
            let page = azure.fetch(&url, Some(&token)).await;
            assert!((1..=page_size).contains(&page.items().len()));
            items.extend(page.items());
            next = page.json()["nextLink"].as_str().map(str::to_owned);
        }
        assert_eq!(items, unpaged.items(), "{path}");
    }
}
