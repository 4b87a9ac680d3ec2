//! Checks of Resource Manager before a request reaches a resource.

use azure_sandbox::{Bucket, RequestBudget};
use http::HeaderMap;
use serde_json::json;

use super::{Azure, PUBLIC, PUBLIC_SCOPE, azure_client, cloud, read, seed, versions_of};

#[tokio::test]
async fn restricted_accounts_get_errors_of_resource_manager() {
    let azure = Azure::start().await;
    let clusters = "/providers/Microsoft.ContainerService/managedClusters?api-version=2024-02-01";
    for (name, path, status, code, words) in [
        (
            "no-role",
            clusters,
            403,
            "AuthorizationFailed",
            "perform action 'Microsoft.ContainerService/managedClusters/read' over scope '/subscriptions/",
        ),
        (
            "no-role",
            "?api-version=2016-06-01",
            403,
            "AuthorizationFailed",
            "'Microsoft.Resources/subscriptions/read'",
        ),
        ("disabled-subscription", clusters, 403, "ReadOnlyDisabledSubscription", "disabled"),
        ("unregistered", clusters, 409, "MissingSubscriptionRegistration", "'Microsoft.ContainerService'"),
        ("throttled", clusters, 429, "SubscriptionRequestsThrottled", "'75' seconds"),
    ] {
        let account = azure.account(name);
        let token = azure.token_of(&account).await;
        let url = format!("{PUBLIC}/subscriptions/{}{path}", account.subscription_id);
        let response = azure.fetch(&url, Some(&token)).await;
        assert_eq!(response.error(), (status, code.to_owned()), "{name}");
        assert!(response.text.contains(words), "{}", response.text);
        assert_eq!(response.headers.get("retry-after").is_some(), status == 429);
    }
    let unregistered = azure.account("unregistered");
    let token = azure.token_of(&unregistered).await;
    let base = format!("{PUBLIC}/subscriptions/{}", unregistered.subscription_id);
    let response = azure.fetch(&format!("{base}{clusters}"), Some(&token)).await;
    assert_eq!(response.json()["error"]["details"][0]["target"], "Microsoft.ContainerService");
    let networks = "/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01";
    assert_eq!(azure.fetch(&format!("{base}{networks}"), Some(&token)).await.status, 200);

    let disabled = azure.account("disabled-subscription");
    let token = azure.token_of(&disabled).await;
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2022-12-01", disabled.subscription_id);
    assert_eq!(azure.fetch(&url, Some(&token)).await.json()["state"], "Disabled");

    let empty = azure.account("empty");
    let token = azure.token_of(&empty).await;
    let url = format!("{PUBLIC}/subscriptions/{}{clusters}", empty.subscription_id);
    assert_eq!(azure.fetch(&url, Some(&token)).await.text, r#"{"value":[]}"#);
}

#[tokio::test]
async fn invalid_requests_get_the_error_envelope() {
    let azure = Azure::start().await;
    for (path, status, code) in [
        ("/locations", 400, "MissingApiVersionParameter"),
        ("/locations?api-version=", 400, "MissingApiVersionParameter"),
        ("/locations?api-version=1999-01-01", 400, "InvalidApiVersionParameter"),
        ("/providers/Microsoft.Compute/skus?api-version=1999-01-01", 400, "NoRegisteredProviderFound"),
        ("/providers/Microsoft.Compute/disks?api-version=2021-07-01", 404, "InvalidResourceType"),
        ("/nothing?api-version=2021-07-01", 404, "InvalidResourceType"),
        (
            "/providers/Microsoft.Compute/locations/atlantis/vmSizes?api-version=2024-03-01",
            400,
            "NoRegisteredProviderFound",
        ),
        (
            "/providers/Microsoft.ContainerService/locations/europe/kubernetesVersions?api-version=2024-02-01",
            400,
            "NoRegisteredProviderFound",
        ),
        (
            "/providers/Microsoft.Compute/skus?api-version=2021-07-01&$filter=x",
            400,
            "InvalidFilterInQueryString",
        ),
        (
            "/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01&$skiptoken=x",
            400,
            "InvalidSkipToken",
        ),
    ] {
        let url = format!("{PUBLIC}{}{path}", azure.subscription());
        assert_eq!(azure.fetch(&url, Some(&azure.token)).await.error(), (status, code.to_owned()), "{path}");
    }
    let token = azure.token.clone();
    let url = format!("{PUBLIC}/subscriptions/{}/locations?api-version=2022-12-01", seed().subscription_id);
    let response = read(azure.client.delete(url).bearer_auth(token).send().await.unwrap()).await;
    assert_eq!(response.error(), (405, "HttpMethodNotSupported".to_owned()));
    let other_host = azure_client::builder(&azure.sandbox)
        .resolve("login.windows.net", azure.sandbox.address())
        .default_headers(HeaderMap::from_iter([(http::header::HOST, "example.com".parse().unwrap())]))
        .http1_only()
        .build()
        .unwrap();
    let response = read(other_host.get("https://login.windows.net/x").send().await.unwrap()).await;
    assert_eq!(response.error(), (421, "UnknownHost".to_owned()));
}

#[tokio::test]
async fn responses_have_request_ids() {
    let azure = Azure::start().await;
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2022-12-01", seed().subscription_id);
    let request = azure.client.get(&url).header("x-ms-client-request-id", "my-id");
    let response = read(request.send().await.unwrap()).await;
    assert_eq!(response.headers["x-ms-client-request-id"], "my-id");
    let id = &response.headers["x-ms-request-id"];
    assert_eq!(&response.headers["x-ms-correlation-request-id"], id);
    assert_eq!(response.headers["x-ms-failure-cause"], "gateway");
    let last_request = azure.control().requests().pop().unwrap();
    assert_eq!(last_request.client_request_id.as_deref(), Some("my-id"));
}

#[tokio::test]
async fn clouds_are_separate() {
    let azure = Azure::start().await;
    for (name, region, foreign_region) in
        [("china", "chinanorth3", "eastus"), ("us-government", "usgovvirginia", "chinanorth3")]
    {
        let account = azure.account(name);
        let (_, management, _) = cloud(&account);
        let token = azure.token_of(&account).await;
        let base = format!("{management}/subscriptions/{}", account.subscription_id);
        let locations =
            azure.fetch(&format!("{base}/locations?api-version=2022-12-01"), Some(&token)).await.items();
        assert!(locations.iter().any(|location| location["name"] == region));
        assert!(!locations.iter().any(|location| location["name"] == "eastus"));
        let versions_url = |region: &str| {
            format!(
                "{base}/providers/Microsoft.ContainerService/locations/{region}/kubernetesVersions?api-version=2024-02-01"
            )
        };
        let minors = versions_of(&azure.fetch(&versions_url(region), Some(&token)).await);
        assert!(!minors.contains_key("1.35"), "older than the public cloud");
        assert_eq!(azure.fetch(&versions_url(foreign_region), Some(&token)).await.status, 400);
        azure.control().set_page_size(Some(1));
        let networks = format!("{base}/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01");
        let page = azure.fetch(&networks, Some(&token)).await.json();
        assert!(page["nextLink"].as_str().unwrap().starts_with(&format!("{base}/")));
        assert_eq!(page["value"][0]["location"], region);
        azure.control().set_page_size(None);
    }
    // The login host of a cloud rejects tenants of other clouds.
    let china = azure.account("china");
    let (tenant, client_id, secret) = (&china.tenant_id, &china.client_id, &china.secrets[0]);
    let response = azure.login("login.microsoftonline.com", tenant, client_id, secret, PUBLIC_SCOPE).await;
    assert_eq!(response.json()["error_codes"], json!([90_002]));
}

#[tokio::test]
async fn responses_have_the_number_of_remaining_requests() {
    let azure = Azure::start().await;
    let account = azure.account("ready");
    let token = azure.token_of(&account).await;
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2022-12-01", account.subscription_id);
    let fetch_limits = async || {
        let response = azure.fetch(&url, Some(&token)).await;
        let header = |name: &str| response.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (
            response.status.as_u16(),
            header("x-ms-ratelimit-remaining-subscription-reads"),
            header("retry-after"),
        )
    };
    let number = |digits: &str| Some(digits.to_owned());
    assert_eq!(fetch_limits().await, (200, number("249"), None));
    let reads = Some(Bucket { size: 1, refill_per_minute: 60 });
    azure.control().set_budget(&account.subscription_id, RequestBudget { reads, ..RequestBudget::default() });
    assert_eq!(fetch_limits().await, (200, number("0"), None));
    assert_eq!(fetch_limits().await, (429, number("0"), number("1")));
}
