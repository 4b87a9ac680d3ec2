//! The built-in Azure over its real wire: TLS, Azure's host names, HTTP/2, as a client of Azure sees it.

use std::collections::HashMap;
use std::time::Duration;

use azure_sandbox::{
    Account, Control, Effect, Fault, InvalidRecording, Login, Operation, Options, Outcome, PLAYED_TENANT,
    Page, Refusal, Sandbox, Seed,
};
use clock::Clock;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

const PUBLIC: &str = "https://management.azure.com";
const PUBLIC_SCOPE: &str = "https://management.core.windows.net//.default openid offline_access profile";

/// A sandbox and a client that believes it to be Azure.
struct Azure {
    sandbox: Sandbox,
    client: reqwest::Client,
    clock: Clock,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// Status and `error.code`.
    fn error(&self) -> (u16, String) {
        let code = self.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), code)
    }

    fn items(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["value"].as_array().unwrap().clone()
    }
}

impl Azure {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    async fn start_with(control_listen: Option<&str>) -> Self {
        let clock = Clock::manual(1_790_000_000_000);
        let control_listen = control_listen.map(|address| address.parse().unwrap());
        let options = Options { clock: clock.clone(), control_listen, ..Options::default() };
        let sandbox = Sandbox::start(options).await.unwrap();
        let client = client(&sandbox).build().unwrap();
        Self { sandbox, client, clock }
    }

    fn control(&self) -> Control {
        self.sandbox.control()
    }

    fn account(&self, name: &str) -> Account {
        self.control().accounts().iter().find(|account| account.name == name).unwrap().clone()
    }

    async fn get(&self, url: &str, token: Option<&str>) -> Answer {
        let mut request = self.client.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        read(request.send().await.unwrap()).await
    }

    async fn post_form(&self, url: &str, form: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded");
        read(request.body(body).send().await.unwrap()).await
    }

    async fn login(&self, host: &str, tenant: &str, client_id: &str, secret: &str, scope: &str) -> Answer {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret),
            ("scope", scope),
        ];
        self.post_form(&format!("https://{host}/{tenant}/oauth2/v2.0/token"), &form).await
    }

    async fn token_of(&self, account: &Account) -> String {
        let (host, _, scope) = cloud(account);
        let answer =
            self.login(host, &account.tenant_id, &account.client_id, &account.secrets[0], scope).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// As the ready account, below its subscription.
    async fn ready(&self, path_and_query: &str) -> Answer {
        let token = self.token_of(&self.account("ready")).await;
        self.get(&format!("{PUBLIC}/subscriptions/{}{path_and_query}", seed().subscription_id), Some(&token))
            .await
    }
}

fn seed() -> Seed {
    Sandbox::seed()
}

fn client(sandbox: &Sandbox) -> reqwest::ClientBuilder {
    let authority = reqwest::Certificate::from_pem(sandbox.authority_pem().as_bytes()).unwrap();
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([authority]);
    Sandbox::hosts().iter().fold(builder, |builder, host| builder.resolve(host, sandbox.address()))
}

async fn read(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// Login host, management origin and scope of an account's cloud.
fn cloud(account: &Account) -> (&'static str, &'static str, &'static str) {
    match serde_json::to_value(account.environment).unwrap().as_str().unwrap() {
        "AzureChinaCloud" => (
            "login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn",
            "https://management.core.chinacloudapi.cn//.default",
        ),
        "AzureUSGovernmentCloud" => (
            "login.microsoftonline.us",
            "https://management.usgovcloudapi.net",
            "https://management.usgovcloudapi.net/.default",
        ),
        _ => ("login.microsoftonline.com", PUBLIC, PUBLIC_SCOPE),
    }
}

fn versions_of(answer: &Answer) -> HashMap<String, Value> {
    let minors = answer.json()["values"].as_array().unwrap().clone();
    minors.into_iter().map(|minor| (minor["version"].as_str().unwrap().to_owned(), minor)).collect()
}

fn assert_no_template(items: &[Value]) {
    for item in items {
        for left in ["{subscription}", "{tenant}", "{location}", "{other_location}"] {
            assert!(!item.to_string().contains(left), "{left} in {item}");
        }
    }
}

#[tokio::test]
async fn both_secrets_of_the_seed_log_in_over_http_2_with_either_form_of_the_scope() {
    let azure = Azure::start().await;
    let seed = seed();
    for secret in [seed.client_secret, seed.client_secret_2] {
        for scope in [PUBLIC_SCOPE, "https://management.azure.com/.default"] {
            let host = "login.microsoftonline.com";
            let answer = azure.login(host, seed.tenant_id, seed.client_id, secret, scope).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let body = answer.json();
            assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3599)));
            let token = body["access_token"].as_str().unwrap();
            let url = format!("{PUBLIC}/subscriptions/{}?api-version=2016-06-01", seed.subscription_id);
            assert_eq!(azure.get(&url, Some(token)).await.status, 200);
        }
    }
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2016-06-01", seed.subscription_id);
    let response = azure.client.get(&url).send().await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    let old = client(&azure.sandbox).http1_only().build().unwrap();
    assert_eq!(old.get(&url).send().await.unwrap().version(), http::Version::HTTP_11);
}

#[tokio::test]
async fn every_refused_login_has_entras_status_code_and_frame() {
    let azure = Azure::start().await;
    let seed = seed();
    let secret_of = |name: &str| azure.account(name).secrets[0].clone();
    let client_of = |name: &str| azure.account(name).client_id;
    let (good_tenant, good_client, good_secret) = (seed.tenant_id, seed.client_id, seed.client_secret);
    let expired = azure.account("expired-secret");
    let stranger = "c0ffee00-ffff-4000-8000-000000000000";
    for (tenant, client_id, secret, scope, status, error, code) in [
        (good_tenant, good_client, "wrong", PUBLIC_SCOPE, 401, "invalid_client", 7_000_215),
        (
            good_tenant,
            &*expired.client_id,
            &*expired.expired_secrets[0],
            PUBLIC_SCOPE,
            401,
            "invalid_client",
            7_000_222,
        ),
        (good_tenant, stranger, good_secret, PUBLIC_SCOPE, 400, "unauthorized_client", 700_016),
        (stranger, good_client, good_secret, PUBLIC_SCOPE, 400, "invalid_request", 90_002),
        ("no_tenant", good_client, good_secret, PUBLIC_SCOPE, 400, "invalid_request", 900_023),
        (
            good_tenant,
            &*client_of("disabled-app"),
            &*secret_of("disabled-app"),
            PUBLIC_SCOPE,
            400,
            "unauthorized_client",
            7_000_112,
        ),
        (
            good_tenant,
            &*client_of("throttled-login"),
            &*secret_of("throttled-login"),
            PUBLIC_SCOPE,
            429,
            "temporarily_unavailable",
            90_055,
        ),
        (good_tenant, good_client, "", PUBLIC_SCOPE, 401, "invalid_client", 7_000_218),
        (good_tenant, "", good_secret, PUBLIC_SCOPE, 400, "invalid_request", 900_144),
        (good_tenant, good_client, good_secret, "", 400, "invalid_request", 900_144),
        (good_tenant, good_client, good_secret, "openid", 400, "invalid_scope", 70_011),
        (good_tenant, good_client, good_secret, "https://x.example/read", 400, "invalid_scope", 1_002_012),
        (
            good_tenant,
            good_client,
            good_secret,
            "https://x.example/.default",
            400,
            "invalid_resource",
            500_011,
        ),
        // The audience of another cloud.
        (
            good_tenant,
            good_client,
            good_secret,
            "https://management.chinacloudapi.cn/.default",
            400,
            "invalid_resource",
            500_011,
        ),
    ] {
        let answer = azure.login("login.microsoftonline.com", tenant, client_id, secret, scope).await;
        let body = answer.json();
        let refusal = (answer.status.as_u16(), body["error"].as_str().unwrap(), &body["error_codes"]);
        assert_eq!(refusal, (status, error, &json!([code])), "{}", answer.text);
        let text = body["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
        for (label, key) in
            [("Trace ID", "trace_id"), ("Correlation ID", "correlation_id"), ("Timestamp", "timestamp")]
        {
            assert!(text.contains(&format!("{label}: {}", body[key].as_str().unwrap())), "{text}");
        }
        assert_eq!(
            body["error_uri"],
            format!("https://login.microsoftonline.com/error?code={code}"),
            "{body}"
        );
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429);
        assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
    }
}

#[tokio::test]
async fn a_login_without_a_grant_type_or_with_another_one_is_refused() {
    let azure = Azure::start().await;
    let url = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", seed().tenant_id);
    for (form, error, code) in [
        (vec![], "invalid_request", 900_144),
        (vec![("grant_type", "password")], "unsupported_grant_type", 70_003),
    ] {
        let answer = azure.post_form(&url, &form).await;
        assert_eq!(answer.status, 400);
        assert_eq!(
            (&answer.json()["error"], &answer.json()["error_codes"][0]),
            (&json!(error), &json!(code))
        );
    }
    assert_eq!(azure.get(&url, None).await.status, 405);
}

#[tokio::test]
async fn discovery_names_the_token_endpoint_of_the_tenant_in_its_cloud() {
    let azure = Azure::start().await;
    for name in ["ready", "china", "us-government"] {
        let account = azure.account(name);
        let (host, _, _) = cloud(&account);
        let base = format!("https://{host}/{}", account.tenant_id);
        let answer = azure.get(&format!("{base}/v2.0/.well-known/openid-configuration"), None).await;
        assert_eq!(answer.json()["token_endpoint"], format!("{base}/oauth2/v2.0/token"));
        let url = format!(
            "https://login.microsoftonline.com/common/discovery/instance?api-version=1.1&authorization_endpoint={base}/oauth2/v2.0/authorize"
        );
        let answer = azure.get(&url, None).await;
        let endpoint = format!("{base}/v2.0/.well-known/openid-configuration");
        assert_eq!(answer.json()["tenant_discovery_endpoint"], endpoint);
        assert!(
            answer.json()["metadata"]
                .as_array()
                .unwrap()
                .iter()
                .any(|entry| { entry["aliases"].as_array().unwrap().contains(&json!(host)) })
        );
    }
    let foreign = azure.account("china").tenant_id;
    let url = format!("https://login.microsoftonline.com/{foreign}/v2.0/.well-known/openid-configuration");
    let answer = azure.get(&url, None).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (400, &json!("invalid_tenant")));
}

#[tokio::test]
async fn without_a_token_the_subscription_tells_its_tenant() {
    let azure = Azure::start().await;
    for (name, authority) in [
        ("ready", "login.windows.net"),
        ("china", "login.chinacloudapi.cn"),
        ("us-government", "login.microsoftonline.us"),
    ] {
        let account = azure.account(name);
        let (_, management, _) = cloud(&account);
        let url = format!("{management}/subscriptions/{}?api-version=2019-11-01", account.subscription_id);
        let answer = azure.get(&url, None).await;
        assert_eq!(answer.error(), (401, "AuthenticationFailed".to_owned()));
        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
        let expected = format!("Bearer authorization_uri=\"https://{authority}/{}\", ", account.tenant_id);
        assert!(challenge.starts_with(&expected), "{challenge}");
    }
    for (id, status, code) in [
        ("00000000-0000-0000-0000-00000000dead", 404, "SubscriptionNotFound"),
        ("no-id", 400, "InvalidSubscriptionId"),
        // It is in another cloud.
        (&*azure.account("china").subscription_id, 404, "SubscriptionNotFound"),
    ] {
        let answer = azure.get(&format!("{PUBLIC}/subscriptions/{id}?api-version=2019-11-01"), None).await;
        assert_eq!(answer.error(), (status, code.to_owned()));
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(id));
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
}

#[tokio::test]
async fn foreign_expired_and_invented_tokens_are_refused() {
    let azure = Azure::start().await;
    let ready = azure.token_of(&azure.account("ready")).await;
    let china = azure.token_of(&azure.account("china")).await;
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2022-12-01", seed().subscription_id);
    assert_eq!(azure.get(&url, Some(&china)).await.error(), (401, "InvalidAuthenticationToken".to_owned()));
    let invented = azure.get(&url, Some("invented")).await;
    assert_eq!(invented.error(), (401, "InvalidAuthenticationToken".to_owned()));
    assert!(invented.headers["www-authenticate"].to_str().unwrap().contains(seed().tenant_id));

    // A token of another tenant of the same cloud.
    azure.control().login(Login { client_id: None, secret: "any".to_owned(), outcome: Outcome::Token });
    let other = azure.login("login.microsoftonline.com", PLAYED_TENANT, "x", "any", PUBLIC_SCOPE).await;
    let other = other.json()["access_token"].as_str().unwrap().to_owned();
    let answer = azure.get(&url, Some(&other)).await;
    assert_eq!(answer.error(), (401, "InvalidAuthenticationTokenTenant".to_owned()));

    azure.clock.advance(Duration::from_secs(3_598));
    assert_eq!(azure.get(&url, Some(&ready)).await.status, 200);
    azure.clock.advance(Duration::from_secs(1));
    assert_eq!(azure.get(&url, Some(&ready)).await.error(), (401, "ExpiredAuthenticationToken".to_owned()));

    let ready = azure.token_of(&azure.account("ready")).await;
    azure.control().forget_tokens();
    assert_eq!(azure.get(&url, Some(&ready)).await.status, 401);
}

#[tokio::test]
async fn each_troubled_account_meets_its_own_refusal() {
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
        let answer = azure.get(&url, Some(&token)).await;
        assert_eq!(answer.error(), (status, code.to_owned()), "{name}");
        assert!(answer.text.contains(words), "{}", answer.text);
        assert_eq!(answer.headers.get("retry-after").is_some(), status == 429);
    }
    let unregistered = azure.account("unregistered");
    let token = azure.token_of(&unregistered).await;
    let base = format!("{PUBLIC}/subscriptions/{}", unregistered.subscription_id);
    let answer = azure.get(&format!("{base}{clusters}"), Some(&token)).await;
    assert_eq!(answer.json()["error"]["details"][0]["target"], "Microsoft.ContainerService");
    let networks = "/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01";
    assert_eq!(azure.get(&format!("{base}{networks}"), Some(&token)).await.status, 200);

    let disabled = azure.account("disabled-subscription");
    let token = azure.token_of(&disabled).await;
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2022-12-01", disabled.subscription_id);
    assert_eq!(azure.get(&url, Some(&token)).await.json()["state"], "Disabled");

    let empty = azure.account("empty");
    let token = azure.token_of(&empty).await;
    let url = format!("{PUBLIC}/subscriptions/{}{clusters}", empty.subscription_id);
    assert_eq!(azure.get(&url, Some(&token)).await.text, r#"{"value":[]}"#);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_in_resource_managers_envelope() {
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
        assert_eq!(azure.ready(path).await.error(), (status, code.to_owned()), "{path}");
    }
    let token = azure.token_of(&azure.account("ready")).await;
    let url = format!("{PUBLIC}/subscriptions/{}/locations?api-version=2022-12-01", seed().subscription_id);
    let answer = read(azure.client.delete(url).bearer_auth(token).send().await.unwrap()).await;
    assert_eq!(answer.error(), (405, "HttpMethodNotSupported".to_owned()));
    let elsewhere = client(&azure.sandbox)
        .resolve("login.windows.net", azure.sandbox.address())
        .default_headers(HeaderMap::from_iter([(http::header::HOST, "example.com".parse().unwrap())]))
        .http1_only()
        .build()
        .unwrap();
    let answer = read(elsewhere.get("https://login.windows.net/x").send().await.unwrap()).await;
    assert_eq!(answer.error(), (421, "UnknownHost".to_owned()));
}

#[tokio::test]
async fn answers_echo_the_clients_ids_and_carry_their_own() {
    let azure = Azure::start().await;
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2022-12-01", seed().subscription_id);
    let request = azure.client.get(&url).header("x-ms-client-request-id", "my-id");
    let answer = read(request.send().await.unwrap()).await;
    assert_eq!(answer.headers["x-ms-client-request-id"], "my-id");
    let id = &answer.headers["x-ms-request-id"];
    assert_eq!(&answer.headers["x-ms-correlation-request-id"], id);
    assert_eq!(answer.headers["x-ms-failure-cause"], "gateway");
    let seen = azure.control().requests().pop().unwrap();
    assert_eq!(seen.client_request_id.as_deref(), Some("my-id"));
}

#[tokio::test]
async fn the_subscription_tells_its_tenant_only_in_newer_versions() {
    let azure = Azure::start().await;
    let old = azure.ready("?api-version=2016-06-01").await.json();
    assert_eq!((&old["subscriptionId"], &old["state"]), (&json!(seed().subscription_id), &json!("Enabled")));
    assert!(old.get("tenantId").is_none());
    let new = azure.ready("?api-version=2022-12-01").await.json();
    assert_eq!(new["tenantId"], seed().tenant_id);
}

#[tokio::test]
async fn locations_are_plain_in_the_old_interface_and_have_types_and_zones_in_the_new() {
    let azure = Azure::start().await;
    let old = azure.ready("/locations?api-version=2016-06-01").await.items();
    let named = |items: &[Value], name: &str| {
        items.iter().find(|item| item["name"] == name).cloned().unwrap_or_default()
    };
    let mut keys: Vec<String> = named(&old, "eastus").as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["displayName", "id", "latitude", "longitude", "name"]);
    assert!(named(&old, "europe").is_null(), "no logical regions");

    let new = azure.ready("/Locations?Api-Version=2022-12-01").await.items();
    assert!(new.len() > old.len());
    let eastus = named(&new, "eastus");
    assert_eq!(eastus["metadata"]["regionType"], "Physical");
    assert_eq!(eastus["availabilityZoneMappings"].as_array().unwrap().len(), 3);
    assert_eq!(eastus["id"], format!("/subscriptions/{}/locations/eastus", seed().subscription_id));
    assert_eq!(named(&new, "europe")["metadata"]["regionType"], "Logical");
    assert!(named(&new, "westus").get("availabilityZoneMappings").is_none(), "a region without zones");
}

#[tokio::test]
async fn sizes_of_a_region_are_listed_short_and_long_and_agree() {
    let azure = Azure::start().await;
    let short = azure
        .ready("/providers/Microsoft.Compute/locations/EastUS/vmSizes?api-version=2024-03-01")
        .await
        .items();
    let size = short.iter().find(|size| size["name"] == "Standard_D4s_v5").unwrap();
    assert_eq!(
        (&size["numberOfCores"], &size["memoryInMB"], &size["osDiskSizeInMB"]),
        (&json!(4), &json!(16_384), &json!(1_047_552))
    );
    let skus = "/providers/Microsoft.Compute/skus?api-version=2021-07-01&$filter=";
    let long = azure.ready(&format!("{skus}location%20eq%20'EastUS'")).await.items();
    let machines: Vec<_> = long.iter().filter(|sku| sku["resourceType"] == "virtualMachines").collect();
    assert_eq!(machines.len(), short.len());
    assert!(machines.len() > 1_000 && long.len() > machines.len());
    let sku = machines.iter().find(|sku| sku["name"] == "Standard_D4s_v5").unwrap();
    assert_eq!(sku["locations"], json!(["eastus"]));
    let capability = |name: &str| {
        let all = sku["capabilities"].as_array().unwrap();
        all.iter().find(|capability| capability["name"] == name).unwrap()["value"].clone()
    };
    assert_eq!((capability("vCPUs"), capability("MemoryGB")), (json!("4"), json!("16")));
    assert_eq!(capability("AcceleratedNetworkingEnabled"), "True");
    let reason = machines.iter().find_map(|sku| sku["restrictions"][0]["reasonCode"].as_str());
    assert_eq!(reason, Some("NotAvailableForSubscription"));

    for nowhere in ["atlantis", "East US", "eastus''x"] {
        let filter = format!("location eq '{nowhere}'").replace(' ', "%20");
        assert!(azure.ready(&format!("{skus}{filter}")).await.items().is_empty(), "{nowhere}");
    }
}

#[tokio::test]
async fn large_answers_are_compressed_when_the_client_asks_for_it() {
    let azure = Azure::start().await;
    let token = azure.token_of(&azure.account("ready")).await;
    let url = format!(
        "{PUBLIC}/subscriptions/{}/providers/Microsoft.Compute/skus?api-version=2021-07-01&$filter=location%20eq%20'westeurope'",
        seed().subscription_id
    );
    let plain = client(&azure.sandbox).gzip(false).build().unwrap();
    let request = plain.get(&url).bearer_auth(&token);
    let whole = request.try_clone().unwrap().send().await.unwrap();
    assert!(!whole.headers().contains_key("content-encoding"));
    let small = request.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(small.headers()["content-encoding"], "gzip");
    let (whole, small) = (whole.bytes().await.unwrap(), small.bytes().await.unwrap());
    assert!(small.len() * 4 < whole.len(), "{} of {}", small.len(), whole.len());
    assert_eq!(azure.get(&url, Some(&token)).await.text.as_bytes(), &*whole);
}

#[tokio::test]
async fn kubernetes_versions_have_plans_a_default_a_preview_and_upgrades() {
    let azure = Azure::start().await;
    let path =
        "/providers/Microsoft.ContainerService/locations/eastus/kubernetesVersions?api-version=2024-02-01";
    let minors = versions_of(&azure.ready(path).await);
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
async fn networks_come_in_every_shape() {
    let azure = Azure::start().await;
    let all =
        azure.ready("/providers/microsoft.network/VIRTUALNETWORKS?api-version=2023-11-01").await.items();
    let seed = seed();
    let named = |name: &str| all.iter().find(|network| network["name"] == name).unwrap();
    let own = named(seed.virtual_network);
    assert_eq!(own["location"], seed.location);
    assert!(own["id"].as_str().unwrap().contains(&format!("/resourceGroups/{}/", seed.resource_group)));
    let subnets = own["properties"]["subnets"].as_array().unwrap();
    assert!(subnets.iter().any(|subnet| subnet["name"] == seed.subnet));
    let list_only = &named("single-by-list")["properties"]["subnets"][0]["properties"];
    assert!(list_only.get("addressPrefix").is_none());
    assert_eq!(list_only["addressPrefixes"], json!(["192.168.16.0/24"]));
    let both = &named("dual-stack")["properties"]["subnets"][1]["properties"]["addressPrefixes"][0];
    assert!(both.as_str().unwrap().contains(':'));
    assert_eq!(named("nothing-cut-yet")["properties"]["subnets"], json!([]));
    assert!(all.iter().any(|network| network["location"] == "westeurope"));
    assert_no_template(&all);
    let path =
        "/resourceGroups/CONNECTIVITY/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01";
    assert_eq!(azure.ready(path).await.items().len(), 2);
}

#[tokio::test]
async fn clusters_are_listed_and_read_in_any_letter_case() {
    let azure = Azure::start().await;
    let version = "api-version=2024-02-01";
    let all = azure
        .ready(&format!("/providers/Microsoft.ContainerService/managedClusters?{version}"))
        .await
        .items();
    let ids: Vec<&str> = all.iter().map(|cluster| cluster["id"].as_str().unwrap()).collect();
    assert!(ids.iter().any(|id| id.contains("/resourcegroups/")));
    assert!(ids.iter().any(|id| id.contains("/resourceGroups/")));
    assert!(all.iter().any(|cluster| cluster["properties"].get("enableRBAC").is_none()));
    assert_no_template(&all);
    let seed = seed();
    let base = "/resourcegroups";
    let kind = "providers/Microsoft.ContainerService/managedclusters";
    let (group, name) = (seed.resource_group.to_uppercase(), seed.imported_cluster_name.to_uppercase());
    let one = azure.ready(&format!("{base}/{group}/{kind}/{name}?{version}")).await.json();
    assert_eq!((&one["name"], &one["location"]), (&json!(seed.imported_cluster_name), &json!(seed.location)));
    assert_eq!(one["properties"]["provisioningState"], "Succeeded");
    for (group, name, code) in
        [("rancher", "missing", "ResourceNotFound"), ("missing", "missing", "ResourceGroupNotFound")]
    {
        let answer = azure.ready(&format!("{base}/{group}/{kind}/{name}?{version}")).await;
        assert_eq!(answer.error(), (404, code.to_owned()));
    }
}

#[tokio::test]
async fn lists_come_in_pages_of_the_size_that_was_set() {
    let azure = Azure::start().await;
    let token = azure.token_of(&azure.account("ready")).await;
    let base = format!("{PUBLIC}/subscriptions/{}/providers", seed().subscription_id);
    for (path, size) in [
        ("Microsoft.Network/virtualNetworks?api-version=2023-11-01", 3),
        ("Microsoft.ContainerService/managedClusters?api-version=2024-02-01", 2),
        ("Microsoft.Compute/skus?api-version=2021-07-01&$filter=location%20eq%20'westus'", 400),
    ] {
        azure.control().set_page_size(None);
        let url = format!("{base}/{path}");
        let whole = azure.get(&url, Some(&token)).await;
        assert!(whole.json().get("nextLink").is_none());
        azure.control().set_page_size(Some(size));
        let (mut next, mut items) = (Some(url), Vec::new());
        while let Some(url) = next {
            assert!(url.starts_with(&base), "{url}");
            let page = azure.get(&url, Some(&token)).await;
            assert!((1..=size).contains(&page.items().len()));
            items.extend(page.items());
            next = page.json()["nextLink"].as_str().map(str::to_owned);
        }
        assert_eq!(items, whole.items(), "{path}");
    }
}

#[tokio::test]
async fn three_clouds_are_three_worlds() {
    let azure = Azure::start().await;
    for (name, region, foreign) in
        [("china", "chinanorth3", "eastus"), ("us-government", "usgovvirginia", "chinanorth3")]
    {
        let account = azure.account(name);
        let (_, management, _) = cloud(&account);
        let token = azure.token_of(&account).await;
        let base = format!("{management}/subscriptions/{}", account.subscription_id);
        let locations =
            azure.get(&format!("{base}/locations?api-version=2022-12-01"), Some(&token)).await.items();
        assert!(locations.iter().any(|location| location["name"] == region));
        assert!(!locations.iter().any(|location| location["name"] == "eastus"));
        let versions = |region: &str| {
            format!(
                "{base}/providers/Microsoft.ContainerService/locations/{region}/kubernetesVersions?api-version=2024-02-01"
            )
        };
        let minors = versions_of(&azure.get(&versions(region), Some(&token)).await);
        assert!(!minors.contains_key("1.35"), "behind the public cloud");
        assert_eq!(azure.get(&versions(foreign), Some(&token)).await.status, 400);
        azure.control().set_page_size(Some(1));
        let networks = format!("{base}/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01");
        let page = azure.get(&networks, Some(&token)).await.json();
        assert!(page["nextLink"].as_str().unwrap().starts_with(&format!("{base}/")));
        assert_eq!(page["value"][0]["location"], region);
        azure.control().set_page_size(None);
    }
    // A login of one cloud does not know the tenants of another.
    let china = azure.account("china");
    let (tenant, client_id, secret) = (&china.tenant_id, &china.client_id, &china.secrets[0]);
    let answer = azure.login("login.microsoftonline.com", tenant, client_id, secret, PUBLIC_SCOPE).await;
    assert_eq!(answer.json()["error_codes"], json!([90_002]));
}

fn page(text: &str) -> Page {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn recorded_pages_are_played_to_their_subscription_only() {
    let azure = Azure::start().await;
    let control = azure.control();
    let id = "00000000-0000-0000-0000-000000000101";
    let networks = vec![
        page(r#"{"body": {"value": [{"z": 1, "a": null}], "nextLink": "https://old.example/"}}"#),
        page(r#"{"body": {"value": []}}"#),
        page(r#"{"body": {"value": [{"last": true}], "nextLink": "https://old.example/"}}"#),
    ];
    control.play(id, "virtualNetworks", networks).unwrap();
    let odd = page(r#"{"status": 400, "headers": {"Content-Type": "text/plain"}, "body": "plain text"}"#);
    control.play(id, "vmSizes", vec![odd]).unwrap();
    let forbidden =
        page(r#"{"status": 403, "body": {"error": {"message": "no", "code": "X"}}, "delay_ms": 20}"#);
    control.play(id, "subscription", vec![forbidden]).unwrap();
    control.login(Login { client_id: None, secret: "good~secret".to_owned(), outcome: Outcome::Token });

    for cloud_hosts in [
        ("login.microsoftonline.com", PUBLIC, PUBLIC_SCOPE),
        (
            "login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn",
            "https://management.core.chinacloudapi.cn//.default",
        ),
    ] {
        let (login, management, scope) = cloud_hosts;
        let answer = azure.login(login, PLAYED_TENANT, "11111111-1", "good~secret", scope).await;
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let base = format!("{management}/subscriptions/{id}");
        let url = format!("{base}/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01");
        let first = azure.get(&url, Some(&token)).await;
        assert!(first.text.starts_with(r#"{"value":[{"z": 1, "a": null}],"nextLink":"#), "{}", first.text);
        let second = azure.get(first.json()["nextLink"].as_str().unwrap(), Some(&token)).await;
        let third = azure.get(second.json()["nextLink"].as_str().unwrap(), Some(&token)).await;
        assert_eq!(third.text, r#"{"value":[{"last": true}]}"#);

        let sizes =
            format!("{base}/providers/Microsoft.Compute/locations/nowhere/vmSizes?api-version=2024-03-01");
        let answer = azure.get(&sizes, Some(&token)).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (400, "plain text"));
        assert_eq!(answer.headers["content-type"], "text/plain");

        let subscription = format!("{base}?api-version=2016-06-01");
        let answer = azure.get(&subscription, Some(&token)).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.text),
            (403, r#"{"error": {"message": "no", "code": "X"}}"#)
        );
        let revealed =
            azure.get(&subscription, None).await.headers["www-authenticate"].to_str().unwrap().to_owned();
        assert!(revealed.contains(PLAYED_TENANT));
    }
    let others =
        azure.ready("/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01").await.items();
    assert!(others.iter().all(|network| network.get("z").is_none()), "another subscription");
}

#[tokio::test]
async fn a_played_login_and_a_revealed_tenant_are_exact_and_can_be_taken_back() {
    let azure = Azure::start().await;
    let control = azure.control();
    let refusal = page(
        r#"{"status": 401, "headers": {"content-type": "application/json; charset=utf-8"}, "body": {"error":"invalid_client","error_description":"AADSTS7000215: no"}}"#,
    );
    control.login(Login {
        client_id: Some("11111111-1111-1111-1111-111111111111".to_owned()),
        secret: "bad~secret".to_owned(),
        outcome: Outcome::Answer(refusal),
    });
    let host = "login.microsoftonline.com";
    let client_id = "11111111-1111-1111-1111-111111111111";
    let answer = azure.login(host, PLAYED_TENANT, client_id, "bad~secret", PUBLIC_SCOPE).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.text, r#"{"error":"invalid_client","error_description":"AADSTS7000215: no"}"#);
    let answer = azure.login(host, PLAYED_TENANT, "another", "bad~secret", PUBLIC_SCOPE).await;
    assert_eq!(answer.json()["error_codes"], json!([90_002]), "not that application");

    let id = "00000000-0000-0000-0000-00000000ABCD";
    let tenant = page(r#"{"body": "99999999-86f1-41af-91ab-2d7cd011db47"}"#);
    control.play(id, "tenant", vec![tenant]).unwrap();
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2019-11-01", id.to_lowercase());
    let challenge = azure.get(&url, None).await.headers["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("/99999999-86f1-41af-91ab-2d7cd011db47\""), "{challenge}");

    let path = "?api-version=2016-06-01";
    control.play(seed().subscription_id, "subscription", vec![page(r#"{"body": {"played": 1}}"#)]).unwrap();
    assert_eq!(azure.ready(path).await.json()["played"], 1);
    control.play(seed().subscription_id, "subscription", Vec::new()).unwrap();
    assert_eq!(azure.ready(path).await.json()["subscriptionId"], seed().subscription_id);
    assert_eq!(control.play(id, "token", Vec::new()), Err(InvalidRecording::Route("token".to_owned())));
    assert_eq!(
        control.play(id, "skus", vec![page(r#"{"status": 99, "body": 1}"#)]),
        Err(InvalidRecording::Status(99))
    );
}

#[tokio::test]
async fn faults_hit_what_they_name_as_often_as_they_say() {
    let azure = Azure::start().await;
    let refusal = Refusal {
        status: Some(503),
        code: Some("ServerBusy".to_owned()),
        retry_after: Some("7".to_owned()),
        retry_after_ms: Some(6_500),
        ..Refusal::default()
    };
    azure.control().add_fault(Fault {
        operation: Some(Operation::Subscription),
        times: Some(2),
        effect: Some(Effect::Status(refusal)),
        ..Fault::default()
    });
    let path = "?api-version=2022-12-01";
    for _ in 0..2 {
        let answer = azure.ready(path).await;
        assert_eq!(answer.error(), (503, "ServerBusy".to_owned()));
        assert_eq!(answer.headers["retry-after"], "7");
        assert_eq!(answer.headers["x-ms-retry-after-ms"], "6500");
        assert!(answer.headers.contains_key("x-ms-request-id"));
    }
    assert_eq!(azure.ready(path).await.status, 200);
    assert!(azure.control().faults().is_empty());

    azure.control().add_fault(Fault {
        latency_ms: 300,
        path: Some("?API-VERSION=2022".to_owned()),
        ..Fault::default()
    });
    let start = std::time::Instant::now();
    assert_eq!(azure.ready(path).await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
    azure.control().clear_faults();

    let refusal = Refusal { status: Some(500), body: Some("<html>".to_owned()), ..Refusal::default() };
    let effect = Some(Effect::Status(refusal));
    azure.control().add_fault(Fault { method: Some("POST".to_owned()), effect, ..Fault::default() });
    let seed = seed();
    let host = "login.microsoftonline.com";
    let answer = azure.login(host, seed.tenant_id, seed.client_id, seed.client_secret, PUBLIC_SCOPE).await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (500, "<html>"));
}

#[tokio::test]
async fn broken_answers_are_broken_in_the_way_that_was_asked_for_over_both_protocols() {
    let azure = Azure::start().await;
    let control = azure.control();
    let old = client(&azure.sandbox).http1_only().build().unwrap();
    let token = azure.token_of(&azure.account("ready")).await;
    let url = format!(
        "{PUBLIC}/subscriptions/{}/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01",
        seed().subscription_id
    );
    let whole = azure.get(&url, Some(&token)).await.text;
    for client in [&azure.client, &old] {
        let ask = |effect: Effect| {
            control.add_fault(Fault { effect: Some(effect), times: Some(1), ..Fault::default() });
            client.get(&url).bearer_auth(&token).send()
        };
        assert!(ask(Effect::CutBeforeAnswer).await.is_err());
        assert_eq!(control.requests().last().unwrap().status, None);

        let mut response = ask(Effect::CutInBody).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut received = Vec::new();
        let end = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => received.extend_from_slice(&chunk),
                other => break other,
            }
        };
        assert!(end.is_err(), "the body must not end well");
        assert_eq!(received, &whole.as_bytes()[..whole.len() / 2]);

        let text = ask(Effect::TruncatedBody).await.unwrap().text().await.unwrap();
        assert_eq!(text, &whole[..whole.len() / 2]);
        let text = ask(Effect::InvalidJson).await.unwrap().text().await.unwrap();
        assert!(serde_json::from_str::<Value>(&text).is_err());

        let start = std::time::Instant::now();
        let slow = ask(Effect::SlowBody(300)).await.unwrap();
        let head = start.elapsed();
        assert_eq!(slow.text().await.unwrap(), whole);
        assert!(head < Duration::from_millis(200) && start.elapsed() >= Duration::from_millis(300));

        let link = "https://evil.example/next".to_owned();
        let linked = ask(Effect::ForeignNextLink(link.clone())).await.unwrap().text().await.unwrap();
        let linked: Value = serde_json::from_str(&linked).unwrap();
        assert_eq!(
            (linked["nextLink"].as_str(), linked["value"].as_array().unwrap().len()),
            (Some(&*link), 7)
        );
    }
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_can_be_forgotten() {
    let azure = Azure::start().await;
    azure.ready("/locations?api-version=2022-12-01&x=y").await;
    let seen = azure.control().requests();
    let kinds: Vec<_> = seen.iter().map(|seen| (seen.operation, seen.status)).collect();
    assert_eq!(kinds, [(Operation::Token, Some(200)), (Operation::Locations, Some(200))]);
    let last = seen.last().unwrap();
    assert_eq!((&*last.method, &*last.host), ("GET", "management.azure.com"));
    assert_eq!(last.path, format!("/subscriptions/{}/locations", seed().subscription_id));
    assert_eq!((&*last.query, last.at_ms), ("api-version=2022-12-01&x=y", azure.clock.now_ms()));
    azure.control().clear_requests();
    assert!(azure.control().requests().is_empty());
}

#[tokio::test]
async fn the_control_api_does_the_same_over_http() {
    let azure = Azure::start_with(Some("127.0.0.1:0")).await;
    let base = format!("http://{}", azure.sandbox.control_address().unwrap());
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |method: &str, path: &str, body: Option<&str>| {
        let mut request = plain.request(method.parse().unwrap(), format!("{base}{path}"));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        read(request.send().await.unwrap()).await
    };
    let accounts = ask("GET", "/accounts", None).await.json();
    assert_eq!(accounts.as_array().unwrap().len(), azure.control().accounts().len());
    assert_eq!(accounts[0]["client_secret"], Value::Null);
    assert_eq!(accounts[0]["secrets"][1], seed().client_secret_2);

    let fault = r#"{"operation": "token", "times": 1, "effect": {"status": {"status": 500}}}"#;
    assert_eq!(ask("POST", "/faults", Some(fault)).await.status, 201);
    assert_eq!(ask("GET", "/faults", None).await.json()[0]["effect"]["status"]["status"], 500);
    let seed = seed();
    let host = "login.microsoftonline.com";
    let answer = azure.login(host, seed.tenant_id, seed.client_id, seed.client_secret, PUBLIC_SCOPE).await;
    assert_eq!(answer.status, 500);
    assert_eq!(ask("GET", "/faults", None).await.json(), json!([]));
    assert_eq!(ask("GET", "/requests", None).await.json()[0]["operation"], "token");
    assert_eq!(ask("DELETE", "/requests", None).await.status, 204);
    assert_eq!(ask("GET", "/requests", None).await.json(), json!([]));
    ask("POST", "/faults", Some(r#"{"latency_ms": 1}"#)).await;
    assert_eq!(ask("DELETE", "/faults", None).await.status, 204);
    assert!(azure.control().faults().is_empty());

    assert_eq!(ask("PUT", "/paging", Some(r#"{"items": 2}"#)).await.status, 204);
    assert_eq!(ask("GET", "/paging", None).await.json(), json!({"items": 2}));
    let plays = format!("/plays/{}", seed.subscription_id);
    let pages = r#"{"subscription": [{"body": {"id": "played"}}]}"#;
    assert_eq!(ask("PUT", &plays, Some(pages)).await.status, 204);
    assert_eq!(azure.ready("?api-version=2022-12-01").await.json()["id"], "played");
    assert_eq!(ask("PUT", &format!("{plays}/subscription"), Some("[]")).await.status, 204);
    assert_ne!(azure.ready("?api-version=2022-12-01").await.json()["id"], "played");
    assert_eq!(ask("POST", "/logins", Some(r#"{"secret": "s", "outcome": "token"}"#)).await.status, 204);
    assert_eq!(azure.login(host, seed.tenant_id, "x", "s", PUBLIC_SCOPE).await.status, 200);
    assert_eq!(ask("DELETE", "/tokens", None).await.status, 204);

    for (method, path, body, status, words) in [
        ("POST", "/faults", Some("{"), 400, "EOF"),
        ("POST", "/faults", Some(r#"{"tmies": 1}"#), 400, "unknown field `tmies`"),
        ("PUT", &*format!("{plays}/nothing"), Some("[]"), 400, "route 'nothing' does not exist"),
        ("POST", "/faults", None, 415, "application/json"),
        ("PUT", "/faults", Some("{}"), 405, "method"),
        ("GET", "/nothing", None, 404, "/requests"),
    ] {
        let answer = ask(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert!(answer.json()["error"].as_str().unwrap().contains(words), "{}", answer.text);
    }
    let foreign = plain.get(format!("{base}/accounts")).header("host", "evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), 403);
}

#[tokio::test]
async fn the_control_api_stays_on_this_machine() {
    let control_listen = Some("0.0.0.0:0".parse().unwrap());
    let refused = Sandbox::start(Options { control_listen, ..Options::default() }).await;
    assert!(matches!(refused, Err(azure_sandbox::Error::NotLoopback(_))));
}

#[tokio::test]
async fn a_kept_authority_is_trusted_after_a_restart_and_nothing_answers_after_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { state_dir: Some(folder.path().to_owned()), ..Options::default() };
    let first = Sandbox::start(options.clone()).await.unwrap();
    let (authority, address) = (first.authority_pem().to_owned(), first.address());
    assert_eq!(std::fs::read_to_string(Sandbox::authority_file(folder.path())).unwrap(), authority);
    first.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());

    let second = Sandbox::start(options).await.unwrap();
    assert_eq!(second.authority_pem(), authority);
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2016-06-01", seed().subscription_id);
    assert_eq!(client(&second).build().unwrap().get(&url).send().await.unwrap().status(), 401);

    let stranger = Sandbox::start(Options::default()).await.unwrap();
    let distrusting = client(&second).resolve("management.azure.com", stranger.address()).build().unwrap();
    assert!(distrusting.get(&url).send().await.is_err(), "another authority");
}
