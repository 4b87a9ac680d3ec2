//! The texts, byte for byte, on refusals made here.

use bytes::Bytes;

use super::*;
use crate::azure::DiscoveryError;

fn refusal(status: u16, code: Option<&str>, message: Option<&str>, body: &str) -> Refusal {
    Refusal {
        method: Method::GET,
        url: "https://management.azure.com/subscriptions/s".to_owned(),
        status,
        code: code.map(str::to_owned),
        message: message.map(str::to_owned),
        body: Bytes::from(body.to_owned()),
        is_json: body.starts_with('{'),
        request_id: None,
        correlation_id: None,
        retry_after: None,
    }
}

fn login(code: &str, body: &str) -> Error {
    Error::Login(Box::new(LoginRefusal {
        method: Method::POST,
        url: "https://login.microsoftonline.com/t/oauth2/v2.0/token".to_owned(),
        status: 401,
        code: Some(code.to_owned()),
        aadsts: vec![],
        error: None,
        description: None,
        body: Bytes::from(body.to_owned()),
        is_json: body.starts_with('{'),
        request_id: None,
        retry_after: None,
    }))
}

#[test]
fn a_refusal_of_resource_manager_reads_as_gos_library_prints_it() {
    let body = r#"{"error":{"code":"AuthorizationFailed","message":"may not perform action 'a/read' over scope '/s'."}}"#;
    let message = "may not perform action 'a/read' over scope '/s'.";
    let error = Error::Arm(Box::new(refusal(403, Some("AuthorizationFailed"), Some(message), body)));
    let explained = failure(&error);
    let line = "-".repeat(80);
    assert_eq!(
        explained.text,
        format!(
            "GET https://management.azure.com/subscriptions/s\n{line}\nRESPONSE 403: 403 Forbidden\nERROR CODE: AuthorizationFailed\n{line}\n{{\n  \"error\": {{\n    \"code\": \"AuthorizationFailed\",\n    \"message\": \"{message}\"\n  }}\n}}\n{line}\n"
        )
    );
    assert_eq!((explained.status, explained.upstream_status), (400, Some(403)));
    assert_eq!(explained.retry_after, None);
    let hint = explained.hint.unwrap();
    assert!(hint.contains("a/read") && hint.contains("on /s") && hint.contains("Reader"), "{hint}");
}

#[test]
fn bodies_that_are_empty_or_no_json_are_shown_as_they_are() {
    let text = |body| failure(&Error::Arm(Box::new(refusal(400, None, None, body)))).text;
    assert!(
        text("").contains("ERROR CODE UNAVAILABLE\n") && text("").contains("\nResponse contained no body\n")
    );
    assert!(text("plain text").contains("\nplain text\n"));
}

#[test]
fn a_refused_login_has_the_answer_on_its_first_line_where_the_dashboard_finds_it() {
    let body =
        "{\"error\": \"invalid_client\",\r\n \"error_description\": \"AADSTS7000222: expired\\r\\nTrace\"}";
    let explained = failure(&login("AADSTS7000222", body));
    let first = explained.text.lines().next().unwrap();
    assert_eq!(
        first,
        r#"ClientSecretCredential authentication failed. Response body: {"error":"invalid_client","error_description":"AADSTS7000222: expired\r\nTrace"}"#
    );
    assert!(
        explained.text.ends_with(
            "\nTo troubleshoot, visit https://aka.ms/azsdk/go/identity/troubleshoot#client-secret"
        )
    );
    assert!(!explained.text.contains("ERROR CODE"));
    assert!(explained.hint.unwrap().contains("expired"));
    let html = failure(&login("x", "<html>")).text;
    assert!(html.starts_with("ClientSecretCredential authentication failed. \nPOST https://"), "{html}");
}

#[test]
fn what_passes_by_itself_has_its_own_status_and_a_time_to_try_again() {
    for (upstream, status, again) in [
        (400, 400, None),
        (404, 400, None),
        (408, 504, Some(PAUSE)),
        (429, 429, Some(PAUSE)),
        (500, 503, Some(PAUSE)),
        (503, 503, Some(PAUSE)),
    ] {
        let explained = failure(&Error::Arm(Box::new(refusal(upstream, None, None, ""))));
        assert_eq!((explained.status, explained.retry_after), (status, again), "{upstream}");
    }
    let asked = Refusal { retry_after: Some(Duration::from_secs(17)), ..refusal(429, None, None, "") };
    assert_eq!(failure(&Error::Arm(Box::new(asked))).retry_after, Some(Duration::from_secs(17)));
    assert_eq!(failure(&Error::TimedOut { to: Service::Arm }).status, 504);
}

#[test]
fn a_tenant_that_cannot_be_found_is_told_on_one_line_that_ends_in_the_message() {
    let body =
        r#"{"error":{"code":"SubscriptionNotFound","message":"The subscription 's' could not be found."}}"#;
    let message = "The subscription 's' could not be found.";
    let error =
        DiscoveryError::Unexpected(Box::new(refusal(404, Some("SubscriptionNotFound"), Some(message), body)));
    assert_eq!(
        checked_discovery(&error).text,
        "Unexpected response from Get Subscription: subscriptions.Client#Get: Failure responding to request: StatusCode=404 -- Original Error: autorest/azure: Service returned an error. Status=404 Code=\"SubscriptionNotFound\" Message=\"The subscription 's' could not be found.\""
    );
    assert_eq!(stored_discovery(&error).text, "unexpected response from Get Subscription: <nil>");
    assert_eq!(stored_discovery(&error).status, 400);
    let header = DiscoveryError::NoMatch { header: "Bearer \"x\"".to_owned() };
    assert_eq!(
        checked_discovery(&header).text,
        r#"Could not find the tenant ID in header: WWW-Authenticate "Bearer \"x\"""#
    );
}
