//! Logins at the simulated Entra, and the tokens that they return.

use std::time::Duration;

use azure_sandbox::{Login, Outcome, PLAYED_TENANT};
use serde_json::json;

use super::{Azure, PUBLIC, PUBLIC_SCOPE, azure_client, cloud, seed};

#[tokio::test]
async fn both_secrets_log_in_with_either_scope() {
    let azure = Azure::start().await;
    let seed = seed();
    for secret in [seed.client_secret, seed.client_secret_2] {
        for scope in [PUBLIC_SCOPE, "https://management.azure.com/.default"] {
            let host = "login.microsoftonline.com";
            let response = azure.login(host, seed.tenant_id, seed.client_id, secret, scope).await;
            assert_eq!(response.status, 200, "{}", response.text);
            let body = response.json();
            assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3599)));
            let token = body["access_token"].as_str().unwrap();
            let url = format!("{PUBLIC}/subscriptions/{}?api-version=2016-06-01", seed.subscription_id);
            assert_eq!(azure.fetch(&url, Some(token)).await.status, 200);
        }
    }
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2016-06-01", seed.subscription_id);
    let http_2_response = azure.client.get(&url).send().await.unwrap();
    assert_eq!(http_2_response.version(), http::Version::HTTP_2);
    let http_1_client = azure_client::builder(&azure.sandbox).http1_only().build().unwrap();
    assert_eq!(http_1_client.get(&url).send().await.unwrap().version(), http::Version::HTTP_11);
}

#[tokio::test]
async fn rejected_logins_have_entras_form() {
    let azure = Azure::start().await;
    let seed = seed();
    let secret_of = |name: &str| azure.account(name).secrets[0].clone();
    let client_of = |name: &str| azure.account(name).client_id;
    let (good_tenant, good_client, good_secret) = (seed.tenant_id, seed.client_id, seed.client_secret);
    let expired = azure.account("expired-secret");
    let unknown_id = "c0ffee00-ffff-4000-8000-000000000000";
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
        (good_tenant, unknown_id, good_secret, PUBLIC_SCOPE, 400, "unauthorized_client", 700_016),
        (unknown_id, good_client, good_secret, PUBLIC_SCOPE, 400, "invalid_request", 90_002),
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
        let response = azure.login("login.microsoftonline.com", tenant, client_id, secret, scope).await;
        let body = response.json();
        let actual = (response.status.as_u16(), body["error"].as_str().unwrap(), &body["error_codes"]);
        assert_eq!(actual, (status, error, &json!([code])), "{}", response.text);
        let description = body["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{code}: ")), "{description}");
        for (label, key) in
            [("Trace ID", "trace_id"), ("Correlation ID", "correlation_id"), ("Timestamp", "timestamp")]
        {
            assert!(
                description.contains(&format!("{label}: {}", body[key].as_str().unwrap())),
                "{description}"
            );
        }
        assert_eq!(
            body["error_uri"],
            format!("https://login.microsoftonline.com/error?code={code}"),
            "{body}"
        );
        assert_eq!(response.headers.contains_key("retry-after"), status == 429);
        assert_eq!(response.headers["content-type"], "application/json; charset=utf-8");
    }
}

#[tokio::test]
async fn other_grant_types_are_rejected() {
    let azure = Azure::start().await;
    let url = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", seed().tenant_id);
    for (form, error, code) in [
        (vec![], "invalid_request", 900_144),
        (vec![("grant_type", "password")], "unsupported_grant_type", 70_003),
    ] {
        let response = azure.post_form(&url, &form).await;
        assert_eq!(response.status, 400);
        assert_eq!(
            (&response.json()["error"], &response.json()["error_codes"][0]),
            (&json!(error), &json!(code))
        );
    }
    assert_eq!(azure.fetch(&url, None).await.status, 405);
}

#[tokio::test]
async fn discovery_returns_the_token_endpoint() {
    let azure = Azure::start().await;
    for name in ["ready", "china", "us-government"] {
        let account = azure.account(name);
        let (host, _, _) = cloud(&account);
        let base = format!("https://{host}/{}", account.tenant_id);
        let response = azure.fetch(&format!("{base}/v2.0/.well-known/openid-configuration"), None).await;
        assert_eq!(response.json()["token_endpoint"], format!("{base}/oauth2/v2.0/token"));
        let url = format!(
            "https://login.microsoftonline.com/common/discovery/instance?api-version=1.1&authorization_endpoint={base}/oauth2/v2.0/authorize"
        );
        let response = azure.fetch(&url, None).await;
        let endpoint = format!("{base}/v2.0/.well-known/openid-configuration");
        assert_eq!(response.json()["tenant_discovery_endpoint"], endpoint);
        assert!(
            response.json()["metadata"]
                .as_array()
                .unwrap()
                .iter()
                .any(|entry| { entry["aliases"].as_array().unwrap().contains(&json!(host)) })
        );
    }
    let foreign = azure.account("china").tenant_id;
    let url = format!("https://login.microsoftonline.com/{foreign}/v2.0/.well-known/openid-configuration");
    let response = azure.fetch(&url, None).await;
    assert_eq!((response.status.as_u16(), &response.json()["error"]), (400, &json!("invalid_tenant")));
}

#[tokio::test]
async fn unauthenticated_requests_reveal_the_tenant() {
    let azure = Azure::start().await;
    for (name, authority) in [
        ("ready", "login.windows.net"),
        ("china", "login.chinacloudapi.cn"),
        ("us-government", "login.microsoftonline.us"),
    ] {
        let account = azure.account(name);
        let (_, management, _) = cloud(&account);
        let url = format!("{management}/subscriptions/{}?api-version=2019-11-01", account.subscription_id);
        let response = azure.fetch(&url, None).await;
        assert_eq!(response.error(), (401, "AuthenticationFailed".to_owned()));
        let challenge = response.headers["www-authenticate"].to_str().unwrap();
        let expected = format!("Bearer authorization_uri=\"https://{authority}/{}\", ", account.tenant_id);
        assert!(challenge.starts_with(&expected), "{challenge}");
    }
    for (id, status, code) in [
        ("00000000-0000-0000-0000-00000000dead", 404, "SubscriptionNotFound"),
        ("no-id", 400, "InvalidSubscriptionId"),
        // A subscription of another cloud.
        (&*azure.account("china").subscription_id, 404, "SubscriptionNotFound"),
    ] {
        let response =
            azure.fetch(&format!("{PUBLIC}/subscriptions/{id}?api-version=2019-11-01"), None).await;
        assert_eq!(response.error(), (status, code.to_owned()));
        assert!(response.json()["error"]["message"].as_str().unwrap().contains(id));
        assert!(!response.headers.contains_key("www-authenticate"));
    }
}

#[tokio::test]
async fn invalid_tokens_are_rejected() {
    let azure = Azure::start().await;
    let ready = azure.token_of(&azure.account("ready")).await;
    let china = azure.token_of(&azure.account("china")).await;
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2022-12-01", seed().subscription_id);
    assert_eq!(azure.fetch(&url, Some(&china)).await.error(), (401, "InvalidAuthenticationToken".to_owned()));
    let invented = azure.fetch(&url, Some("invented")).await;
    assert_eq!(invented.error(), (401, "InvalidAuthenticationToken".to_owned()));
    assert!(invented.headers["www-authenticate"].to_str().unwrap().contains(seed().tenant_id));

    // A token of another tenant of the same cloud.
    azure.control().script_login(Login {
        client_id: None,
        secret: "any".to_owned(),
        outcome: Outcome::Token,
    });
    let login = azure.login("login.microsoftonline.com", PLAYED_TENANT, "x", "any", PUBLIC_SCOPE).await;
    let other_token = login.json()["access_token"].as_str().unwrap().to_owned();
    let response = azure.fetch(&url, Some(&other_token)).await;
    assert_eq!(response.error(), (401, "InvalidAuthenticationTokenTenant".to_owned()));

    azure.clock.advance(Duration::from_secs(3_598));
    assert_eq!(azure.fetch(&url, Some(&ready)).await.status, 200);
    azure.clock.advance(Duration::from_secs(1));
    assert_eq!(azure.fetch(&url, Some(&ready)).await.error(), (401, "ExpiredAuthenticationToken".to_owned()));

    let ready = azure.token_of(&azure.account("ready")).await;
    azure.control().forget_tokens();
    assert_eq!(azure.fetch(&url, Some(&ready)).await.status, 401);
}
