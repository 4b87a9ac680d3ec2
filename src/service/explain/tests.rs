//! Texts, statuses and hints for constructed errors.

use azure::{DiscoveryError, ServiceError};
use bytes::Bytes;

use super::*;

fn arm_error(status: u16, code: Option<&str>, message: Option<&str>, body: &str) -> ArmError {
    ArmError {
        method: Method::GET,
        url: "https://management.azure.com/subscriptions/s".to_owned(),
        status,
        code: code.map(str::to_owned),
        message: message.map(str::to_owned),
        body: Bytes::from(body.to_owned()),
        is_json: body.starts_with('{'),
        foreign_reason: None,
        request_id: None,
        correlation_id: None,
        retry_after: None,
    }
}

fn login_error(code: &str, body: &str) -> Error {
    Error::Login(Box::new(EntraError {
        method: Method::POST,
        url: "https://login.microsoftonline.com/t/oauth2/v2.0/token".to_owned(),
        status: 401,
        code: Some(code.to_owned()),
        aadsts: code.strip_prefix("AADSTS").and_then(|number| number.parse().ok()).into_iter().collect(),
        error: None,
        description: None,
        body: Bytes::from(body.to_owned()),
        is_json: body.starts_with('{'),
        foreign_reason: None,
        client_id: None,
        request_id: None,
        retry_after: None,
    }))
}

#[test]
fn arm_error_text_matches_the_go_library() {
    let body = r#"{"error":{"code":"AuthorizationFailed","message":"may not perform action 'a/read' over scope '/s'."}}"#;
    let message = "may not perform action 'a/read' over scope '/s'.";
    let error = Error::Arm(Box::new(arm_error(403, Some("AuthorizationFailed"), Some(message), body)));
    let explained = request_error(&error);
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
fn non_json_body_is_unchanged_and_empty_body_is_stated() {
    let text = |body| request_error(&Error::Arm(Box::new(arm_error(400, None, None, body)))).text;
    assert!(
        text("").contains("ERROR CODE UNAVAILABLE\n") && text("").contains("\nResponse contained no body\n")
    );
    assert!(text("plain text").contains("\nplain text\n"));
}

#[test]
fn login_error_text_has_the_body_on_its_first_line() {
    let body =
        "{\"error\": \"invalid_client\",\r\n \"error_description\": \"AADSTS7000222: expired\\r\\nTrace\"}";
    let explained = request_error(&login_error("AADSTS7000222", body));
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
    let html = request_error(&login_error("x", "<html>")).text;
    assert!(html.starts_with("ClientSecretCredential authentication failed. \nPOST https://"), "{html}");
}

#[test]
fn status_and_retry_after_follow_the_upstream_status() {
    for (upstream, status, retry_after) in [
        (400, 400, None),
        (404, 400, None),
        (408, 504, Some(DEFAULT_RETRY_AFTER)),
        (429, 429, Some(DEFAULT_RETRY_AFTER)),
        (500, 503, Some(DEFAULT_RETRY_AFTER)),
        (503, 503, Some(DEFAULT_RETRY_AFTER)),
    ] {
        let explained = request_error(&Error::Arm(Box::new(arm_error(upstream, None, None, ""))));
        assert_eq!((explained.status, explained.retry_after), (status, retry_after), "{upstream}");
    }
    let requested = ArmError { retry_after: Some(Duration::from_secs(17)), ..arm_error(429, None, None, "") };
    assert_eq!(request_error(&Error::Arm(Box::new(requested))).retry_after, Some(Duration::from_secs(17)));
    assert_eq!(request_error(&Error::TimedOut { to: Service::Arm }).status, 504);
}

#[test]
fn tenant_discovery_error_is_one_line() {
    let body =
        r#"{"error":{"code":"SubscriptionNotFound","message":"The subscription 's' could not be found."}}"#;
    let message = "The subscription 's' could not be found.";
    let error = DiscoveryError::Unexpected(Box::new(arm_error(
        404,
        Some("SubscriptionNotFound"),
        Some(message),
        body,
    )));
    assert_eq!(
        check_discovery_error(&error).text,
        "Unexpected response from Get Subscription: subscriptions.Client#Get: Failure responding to request: StatusCode=404 -- Original Error: autorest/azure: Service returned an error. Status=404 Code=\"SubscriptionNotFound\" Message=\"The subscription 's' could not be found.\""
    );
    assert_eq!(stored_discovery_error(&error).text, "unexpected response from Get Subscription: <nil>");
    assert_eq!(stored_discovery_error(&error).status, 400);
    let header = DiscoveryError::NoMatch { header: "Bearer \"x\"".to_owned() };
    assert_eq!(
        check_discovery_error(&header).text,
        r#"Could not find the tenant ID in header: WWW-Authenticate "Bearer \"x\"""#
    );
}

/// The hint for an error of Resource Manager in its usual form.
fn hint_for(status: u16, code: &str, message: &str, url: &str) -> String {
    let body = serde_json::json!({"error": {"code": code, "message": message}}).to_string();
    let error = ArmError { url: url.to_owned(), ..arm_error(status, Some(code), Some(message), &body) };
    request_error(&Error::Arm(Box::new(error))).hint.unwrap_or_default()
}

const URL: &str = "https://management.azure.com/subscriptions/s/resourceGroups/g/providers/x";

#[test]
fn linked_authorization_errors_name_the_missing_role() {
    let start = "The client 'a' with object id 'b' has permission to perform action 'x/write' on scope '/A'; however, it does \
                 not have permission to perform ";
    let join = "Microsoft.Network/virtualNetworks/subnets/join/action";
    let zone = "Microsoft.Network/privateDnsZones/join/action";
    let right =
        |action: &str, scope: &str, role: &str| format!("{action} on {scope}: give it the role {role} there");
    for (rest, expected) in [
        (
            format!("action '{join}' on the linked scope(s) '/B' or the linked scope(s) are invalid."),
            vec![right(join, "/B", "Network Contributor")],
        ),
        (
            format!(
                "action(s) '{join}' on the linked scope(s) '/B' (respectively) or the linked scope(s) are invalid."
            ),
            vec![right(join, "/B", "Network Contributor")],
        ),
        (
            format!(
                "action(s) '{join}' on the linked scope(s) '/B (respectively) or the linked scope(s) are invalid"
            ),
            vec![right(join, "/B", "Network Contributor")],
        ),
        (
            format!(
                "action(s) {join} on the linked scope(s) /B (respectively) or the linked scope(s) are invalid."
            ),
            vec![right(join, "/B", "Network Contributor")],
        ),
        (
            format!("action '{join}' on the linked scope(s)'/B,/C' or the linked scope(s)are invalid"),
            vec![right(join, "/B", "Network Contributor"), right(join, "/C", "Network Contributor")],
        ),
        (
            format!(
                "action(s) '{join},{zone}' on the linked scope(s) '/B,/C' (respectively) or the linked scope(s) are invalid."
            ),
            vec![right(join, "/B", "Network Contributor"), right(zone, "/C", "Private DNS Zone Contributor")],
        ),
        (
            format!("action(s) '{join}','{zone}' on the linked scope(s) '/B','/C' (respectively)."),
            vec![right(join, "/B", "Network Contributor"), right(zone, "/C", "Private DNS Zone Contributor")],
        ),
        (
            "action 'Microsoft.Compute/diskEncryptionSets/read' on the linked scope(s) '/B'.".to_owned(),
            vec![right("Microsoft.Compute/diskEncryptionSets/read", "/B", "Reader")],
        ),
    ] {
        let hint = hint_for(403, "LinkedAuthorizationFailed", &format!("{start}{rest}"), URL);
        for expected in expected {
            assert!(hint.contains(&expected), "{rest}: {hint}");
        }
        assert!(
            hint.starts_with("the application lacks") && !hint.contains("x/write") && !hint.contains("/A"),
            "{hint}"
        );
    }
    let unparsed = hint_for(403, "LinkedAuthorizationFailed", "something new 'x/write' on scope '/A'", URL);
    assert!(!unparsed.contains("x/write") && unparsed.contains("the message names it"), "{unparsed}");
}

#[test]
fn linked_errors_across_tenants_name_no_role() {
    let message = "The client has permission to perform action 'Microsoft.Network/virtualNetworks/subnets/join/action' on scope \
                   '/A', however the current tenant 'T' is not authorized to access linked subscription 'S'.";
    let hint = hint_for(403, "LinkedAuthorizationFailed", message, URL);
    assert!(hint.contains(" S, ") && hint.contains("a tenant other than T"), "{hint}");
    for word in ["role", "Contributor", "lacks"] {
        assert!(!hint.contains(word), "{hint}");
    }
}

#[test]
fn hints_name_a_role_and_a_scope_where_it_can_be_assigned() {
    let denied = |action: &str, scope: &str| {
        let message = format!(
            "The client 'a' with object id 'b' does not have authorization to perform action '{action}' over scope '{scope}' or \
             the scope is invalid. If access was recently granted, please refresh your credentials."
        );
        hint_for(403, "AuthorizationFailed", &message, URL)
    };
    let cluster = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/n";
    let network =
        "/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/n/subnets/x";
    for (action, scope, expected) in [
        (
            "Microsoft.ContainerService/managedClusters/write",
            cluster,
            "give it the role Contributor on /subscriptions/s/resourceGroups/g (",
        ),
        (
            "Microsoft.Network/virtualNetworks/subnets/join/action",
            network,
            "--role 'Network Contributor' --scope /subscriptions/s/resourceGroups/hub/providers/",
        ),
        ("Microsoft.Network/virtualNetworks/subnets/read", network, "--role Reader"),
        (
            "Microsoft.Resources/subscriptions/resourcegroups/write",
            "/subscriptions/x/resourcegroups/new",
            "create the resource group first",
        ),
        (
            "Microsoft.Resources/subscriptions/resourceGroups/write",
            "/subscriptions/x/resourceGroups/new",
            "Contributor on the subscription /subscriptions/x",
        ),
    ] {
        let hint = denied(action, scope);
        assert!(hint.contains(expected) && hint.contains(action), "{hint}");
    }
}

#[test]
fn groups_policies_and_nested_errors_have_their_own_hints() {
    let group = "https://management.azure.com/subscriptions/s/resourcegroups/new";
    let cluster = format!("{URL}/managedClusters/n");
    let policy = |names: &[&str]| {
        let list: Vec<_> =
            names.iter().map(|name| serde_json::json!({"policyAssignment": {"name": name}})).collect();
        format!("Resource 'n' was disallowed by policy. Policy identifiers: '{}'.", serde_json::json!(list))
    };
    for (code, message, url, expected) in [
        (
            "ResourceGroupNotFound",
            "Resource group 'logs' could not be found.".to_owned(),
            URL,
            "the resource group logs does not exist",
        ),
        (
            "RequestDisallowedByPolicy",
            policy(&["Require a tag on resource groups", "B"]),
            group,
            "(Require a tag on resource groups, B) does not allow this server to create the resource group new",
        ),
        (
            "RequestDisallowedByPolicy",
            policy(&["Require a tag and its value on resources"]),
            &*cluster,
            "aksConfig.tags",
        ),
        ("RequestDisallowedByPolicy", policy(&["Allowed sizes"]), &*cluster, "Azure Policy"),
        ("RequestDisallowedByPolicy", "no identifiers".to_owned(), URL, "Azure Policy"),
    ] {
        let hint = hint_for(403, code, &message, url);
        assert!(hint.contains(expected), "{hint}");
    }
    let nested = serde_json::json!([{"code": "RequestDisallowedByPolicy", "message": policy(&["A"])}]);
    let error = ServiceError {
        code: Some("InvalidTemplateDeployment".to_owned()),
        details: Some(nested),
        ..ServiceError::default()
    };
    assert!(operation_hint(&error).unwrap().contains("a policy of the subscription (A)"));
    assert_eq!(operation_hint(&ServiceError::default()), None);
}
