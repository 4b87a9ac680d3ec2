//! Recorded responses and scripted logins.

use azure_sandbox::{InvalidRecording, Login, Outcome, PLAYED_TENANT, Page};
use serde_json::json;

use super::{Azure, PUBLIC, PUBLIC_SCOPE, seed};

fn page(text: &str) -> Page {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn recordings_apply_to_one_subscription() {
    let azure = Azure::start().await;
    let control = azure.control();
    let subscription_id = "00000000-0000-0000-0000-000000000101";
    let networks = vec![
        page(r#"{"body": {"value": [{"z": 1, "a": null}], "nextLink": "https://old.example/"}}"#),
        page(r#"{"body": {"value": []}}"#),
        page(r#"{"body": {"value": [{"last": true}], "nextLink": "https://old.example/"}}"#),
    ];
    control.play(subscription_id, "virtualNetworks", networks).unwrap();
    let plain_text =
        page(r#"{"status": 400, "headers": {"Content-Type": "text/plain"}, "body": "plain text"}"#);
    control.play(subscription_id, "vmSizes", vec![plain_text]).unwrap();
    let forbidden =
        page(r#"{"status": 403, "body": {"error": {"message": "no", "code": "X"}}, "delay_ms": 20}"#);
    control.play(subscription_id, "subscription", vec![forbidden]).unwrap();
    control.script_login(Login {
        client_id: None,
        secret: "good~secret".to_owned(),
        outcome: Outcome::Token,
    });

    for cloud_hosts in [
        ("login.microsoftonline.com", PUBLIC, PUBLIC_SCOPE),
        (
            "login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn",
            "https://management.core.chinacloudapi.cn//.default",
        ),
    ] {
        let (login, management, scope) = cloud_hosts;
        let response = azure.login(login, PLAYED_TENANT, "11111111-1", "good~secret", scope).await;
        let token = response.json()["access_token"].as_str().unwrap().to_owned();
        let base = format!("{management}/subscriptions/{subscription_id}");
        let url = format!("{base}/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01");
        let first = azure.fetch(&url, Some(&token)).await;
        assert!(first.text.starts_with(r#"{"value":[{"z": 1, "a": null}],"nextLink":"#), "{}", first.text);
        let second = azure.fetch(first.json()["nextLink"].as_str().unwrap(), Some(&token)).await;
        let third = azure.fetch(second.json()["nextLink"].as_str().unwrap(), Some(&token)).await;
        assert_eq!(third.text, r#"{"value":[{"last": true}]}"#);

        let sizes =
            format!("{base}/providers/Microsoft.Compute/locations/nowhere/vmSizes?api-version=2024-03-01");
        let response = azure.fetch(&sizes, Some(&token)).await;
        assert_eq!((response.status.as_u16(), &*response.text), (400, "plain text"));
        assert_eq!(response.headers["content-type"], "text/plain");

        let subscription = format!("{base}?api-version=2016-06-01");
        let response = azure.fetch(&subscription, Some(&token)).await;
        assert_eq!(
            (response.status.as_u16(), &*response.text),
            (403, r#"{"error": {"message": "no", "code": "X"}}"#)
        );
        let challenge =
            azure.fetch(&subscription, None).await.headers["www-authenticate"].to_str().unwrap().to_owned();
        assert!(challenge.contains(PLAYED_TENANT));
    }
    let seeded_networks =
        azure.get("/providers/Microsoft.Network/virtualNetworks?api-version=2023-11-01").await.items();
    assert!(seeded_networks.iter().all(|network| network.get("z").is_none()), "another subscription");
}

#[tokio::test]
async fn recordings_are_exact_and_removable() {
    let azure = Azure::start().await;
    let control = azure.control();
    let rejection = page(
        r#"{"status": 401, "headers": {"content-type": "application/json; charset=utf-8"}, "body": {"error":"invalid_client","error_description":"AADSTS7000215: no"}}"#,
    );
    control.script_login(Login {
        client_id: Some("11111111-1111-1111-1111-111111111111".to_owned()),
        secret: "bad~secret".to_owned(),
        outcome: Outcome::Answer(rejection),
    });
    let host = "login.microsoftonline.com";
    let client_id = "11111111-1111-1111-1111-111111111111";
    let response = azure.login(host, PLAYED_TENANT, client_id, "bad~secret", PUBLIC_SCOPE).await;
    assert_eq!(response.status, 401);
    assert_eq!(response.text, r#"{"error":"invalid_client","error_description":"AADSTS7000215: no"}"#);
    let response = azure.login(host, PLAYED_TENANT, "another", "bad~secret", PUBLIC_SCOPE).await;
    assert_eq!(response.json()["error_codes"], json!([90_002]), "another application");

    let subscription_id = "00000000-0000-0000-0000-00000000ABCD";
    let tenant = page(r#"{"body": "99999999-86f1-41af-91ab-2d7cd011db47"}"#);
    control.play(subscription_id, "tenant", vec![tenant]).unwrap();
    let url = format!("{PUBLIC}/subscriptions/{}?api-version=2019-11-01", subscription_id.to_lowercase());
    let challenge = azure.fetch(&url, None).await.headers["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains("/99999999-86f1-41af-91ab-2d7cd011db47\""), "{challenge}");

    let path = "?api-version=2016-06-01";
    control.play(seed().subscription_id, "subscription", vec![page(r#"{"body": {"played": 1}}"#)]).unwrap();
    assert_eq!(azure.get(path).await.json()["played"], 1);
    control.play(seed().subscription_id, "subscription", Vec::new()).unwrap();
    assert_eq!(azure.get(path).await.json()["subscriptionId"], seed().subscription_id);
    assert_eq!(
        control.play(subscription_id, "token", Vec::new()),
        Err(InvalidRecording::Route("token".to_owned()))
    );
    assert_eq!(
        control.play(subscription_id, "skus", vec![page(r#"{"status": 99, "body": 1}"#)]),
        Err(InvalidRecording::Status(99))
    );
}
