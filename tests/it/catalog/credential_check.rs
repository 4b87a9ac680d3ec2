//! The check of a credential: the sandbox provokes each reason, and the result of the check agrees with the requests that the
//! sandbox then denies.

mod agreement;

use std::collections::BTreeSet;
use std::time::Duration;

use azure_sandbox::{Bucket, Fault, Page, RequestBudget};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::advance_time;
use crate::support::app::{TestApp, TestResponse, account_credential};

/// The time limit of a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// A delay that ends long after the time limit.
const UNRESPONSIVE_MS: u64 = 60_000;
const AKS_ROLE: &str = "Azure Kubernetes Service Contributor Role";

async fn post(app: &TestApp, body: &Value, query: &str) -> Value {
    app.post(&format!("/api/v1/credentials/check?{query}")).json(body).send().await.expect(200).json()
}

async fn check(app: &TestApp, name: &str, query: &str) -> Value {
    post(app, &account_credential(&app.account(name)), query).await
}

fn codes(result: &Value) -> Vec<&str> {
    let reasons = result["reasons"].as_array().unwrap();
    reasons.iter().map(|reason| reason["code"].as_str().unwrap()).collect()
}

/// The remedy of the reason with this code.
fn remedy<'a>(result: &'a Value, code: &str) -> &'a str {
    let reasons = result["reasons"].as_array().unwrap();
    let reason = reasons.iter().find(|reason| reason["code"] == code);
    reason.unwrap_or_else(|| panic!("no {code} in {result}"))["remedy"].as_str().unwrap()
}

fn add_fault(app: &TestApp, fault: Value) {
    app.control.add_fault(serde_json::from_value::<Fault>(fault).unwrap());
}

fn play(app: &TestApp, route: &str, page: &Value) {
    let page: Page = serde_json::from_value(page.clone()).unwrap();
    app.control.play(app.seed.subscription_id, route, vec![page]).unwrap();
}

#[tokio::test]
async fn contributor_is_usable_without_any_reason() {
    let app = TestApp::start().await;
    for query in ["", "resourceGroup=rancher", "resourceGroup=rancher&resourceGroup=not-there"] {
        let result = check(&app, "ready", query).await;
        assert_eq!((&result["verdict"], codes(&result)), (&json!("usable"), vec![]), "{query}: {result}");
        assert_eq!(result["login"], json!({"status": "accepted", "aadsts": []}));
        assert_eq!(result["subscriptionState"], "Enabled");
        let operations = result["operations"].as_array().unwrap();
        assert!(operations.len() > 20);
        assert!(operations.iter().all(|operation| operation["status"] == "allowed"), "{result}");
        let providers = result["providers"].as_array().unwrap();
        assert!(providers.len() == 5 && providers.iter().all(|provider| provider["registered"] == true));
        for list in ["assignments", "policies", "unchecked"] {
            assert_eq!(result[list], json!([]), "{list}");
        }
    }
}

#[tokio::test]
async fn each_account_has_its_reasons() {
    let app = TestApp::start().await;
    for (name, verdict, expected, reason_part) in [
        ("expired-secret", "unusable", &["loginRejected"][..], "az ad app credential reset"),
        ("disabled-app", "unusable", &["loginRejected"], "enable"),
        ("throttled-login", "limited", &["loginUnavailable"], ""),
        ("no-role", "unusable", &["noRole"], "--role Reader --scope /subscriptions/"),
        (
            "disabled-subscription",
            "unusable",
            &["notChecked", "subscriptionReadOnly"],
            "enable the subscription",
        ),
        (
            "unregistered",
            "unusable",
            &["changeDenied", "createDenied", "deleteDenied", "importDenied", "providerUnregistered"],
            "az provider register --namespace Microsoft.ContainerService",
        ),
        ("fresh", "limited", &["providerUnregistered"], "--namespace Microsoft.OperationsManagement"),
        ("policy", "limited", &["policyDenies"], "az policy assignment show --name require-cost-center"),
        ("reader", "unusable", &["changeDenied", "createDenied", "deleteDenied", "importDenied"], AKS_ROLE),
        (
            "aks-contributor",
            "limited",
            &["listDenied", "monitoringDenied", "newResourceGroupDenied", "notChecked", "ownNetworkDenied"],
            "Network Contributor",
        ),
        ("operator", "limited", &["localAccountsDenied"], "Cluster Admin Role"),
        ("no-command-results", "limited", &["privateClusterDenied"], "--role Reader"),
        ("china", "usable", &[], ""),
    ] {
        let mut credential = account_credential(&app.account(name));
        credential["environment"] = json!(app.account(name).environment);
        let result = post(&app, &credential, "").await;
        let actual: BTreeSet<&str> = codes(&result).into_iter().collect();
        assert_eq!(
            (&result["verdict"], actual),
            (&json!(verdict), expected.iter().copied().collect()),
            "{name}: {result}"
        );
        assert!(result["reasons"].to_string().contains(reason_part), "{name}: {result}");
    }
}

#[tokio::test]
async fn rejected_login_has_its_aadsts_numbers() {
    let app = TestApp::start().await;
    let result = check(&app, "expired-secret", "").await;
    assert_eq!(result["login"], json!({"status": "rejected", "aadsts": [7_000_222]}));
    assert_eq!(result["operations"], json!([]));
    let mut wrong = app.credential(&json!({}));
    wrong["clientSecret"] = json!("wrong");
    let result = post(&app, &wrong, "").await;
    assert_eq!(result["login"]["aadsts"], json!([7_000_215]));
    assert!(remedy(&result, "loginRejected").contains("the client secret is wrong"), "{result}");
}

#[tokio::test]
async fn unknown_subscriptions_and_tenants_are_reasons() {
    let app = TestApp::start().await;
    let mut unknown = app.credential(&json!({}));
    unknown["subscriptionId"] = json!("9d1f3c52-0d2b-4e6a-8c1e-00000000ffff");
    let result = post(&app, &unknown, "").await;
    assert_eq!((&result["verdict"], codes(&result)), (&json!("unusable"), vec!["subscriptionUnusable"]));
    unknown.as_object_mut().unwrap().remove("tenantId");
    let result = post(&app, &unknown, "").await;
    assert_eq!((&result["verdict"], codes(&result)), (&json!("unusable"), vec!["tenantUnknown"]));
    add_fault(&app, json!({"operation": "subscription", "effect": "cut_before_answer"}));
    let result = post(&app, &unknown, "").await;
    assert_eq!((&result["verdict"], codes(&result)), (&json!("limited"), vec!["tenantUnknown"]));
}

#[tokio::test]
async fn role_on_a_group_is_checked_there() {
    let app = TestApp::start().await;
    let result = check(&app, "group-contributor", "resourceGroup=rancher").await;
    assert_eq!(result["verdict"], "limited");
    assert_eq!(codes(&result).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["notChecked"]));
    let status = |action: &str, scope_end: &str| {
        let operations = result["operations"].as_array().unwrap().iter();
        let mut found = operations.filter(|operation| {
            operation["action"] == action && operation["scope"].as_str().unwrap().ends_with(scope_end)
        });
        found.next().unwrap_or_else(|| panic!("{action} {scope_end}: {result}"))["status"].clone()
    };
    assert_eq!(
        status("Microsoft.ContainerService/managedClusters/write", "/resourceGroups/rancher"),
        "allowed"
    );
    assert_eq!(status("Microsoft.Compute/skus/read", "000001"), "unknown");
    assert_eq!(status("Microsoft.Resources/subscriptions/read", "000001"), "allowed");
    // Another group, where the account has no role.
    let result = check(&app, "group-contributor", "resourceGroup=mine").await;
    assert!(codes(&result).iter().all(|code| *code == "notChecked"), "{result}");
}

#[tokio::test]
async fn command_is_quoted_for_a_shell() {
    let app = TestApp::start().await;
    let group = "rancher-(eu)";
    // The sandbox has no group of this name, so its permissions are played.
    play(&app, "permissions", &json!({"body": {"value": [{"actions": ["*/read"], "notActions": []}]}}));
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("resourceGroup", group).finish();
    let result = check(&app, "reader", &query).await;
    let commands = result["assignments"].as_array().unwrap().iter();
    let commands: Vec<&str> = commands.map(|assignment| assignment["command"].as_str().unwrap()).collect();
    let subscription = app.seed.subscription_id;
    let scope = format!("--scope '/subscriptions/{subscription}/resourceGroups/{group}'");
    assert!(commands[0].ends_with(&scope), "{commands:?}");
    // A real shell parses the scope as a single argument.
    let script = format!("az() {{ printf '%s\\n' \"$@\"; }}; {}", commands[0]);
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    let arguments = String::from_utf8(output.stdout).unwrap();
    let expected = format!("/subscriptions/{subscription}/resourceGroups/{group}");
    assert_eq!(arguments.lines().last(), Some(expected.as_str()), "{arguments}");
    assert_eq!(arguments.lines().count(), 9, "{arguments}");
}

#[tokio::test]
async fn parts_that_cannot_be_read_are_unknown() {
    let app = TestApp::start().await;
    for (operation, part) in [
        ("permissions", "permissions"),
        ("provider", "providers"),
        ("policyAssignments", "policies"),
        ("subscription", "subscription"),
    ] {
        let effect = json!({"status": {"status": 500, "code": "InternalServerError"}});
        add_fault(&app, json!({"operation": operation, "effect": effect}));
        let result = check(&app, "ready", "").await;
        app.control.clear_faults();
        assert_eq!(result["verdict"], "limited", "{part}");
        assert!(codes(&result).iter().all(|code| *code == "notChecked"), "{part}: {result}");
        let unchecked = result["unchecked"].as_array().unwrap();
        assert!(
            !unchecked.is_empty() && unchecked.iter().all(|entry| entry["part"] == part),
            "{part}: {result}"
        );
        assert!(unchecked[0]["reason"].as_str().unwrap().contains("500 (InternalServerError)"), "{result}");
    }
    // An empty list of permissions: nothing is known, and nothing is denied.
    play(&app, "permissions", &json!({"body": {"value": []}}));
    let result = check(&app, "ready", "").await;
    assert_eq!((&result["verdict"], codes(&result)), (&json!("limited"), vec!["notChecked"]));
    let statuses =
        result["operations"].as_array().unwrap().iter().map(|operation| operation["status"].clone());
    assert_eq!(statuses.filter(|status| status == "denied").count(), 0);
}

#[tokio::test]
async fn policies_are_listed_with_their_effects() {
    let app = TestApp::start().await;
    let assignment = |name: &str, definition: &str, mode: &str| {
        json!({"id": format!("/subscriptions/s/providers/Microsoft.Authorization/policyAssignments/{name}"), "name": name,
            "properties": {"displayName": format!("The {name}"), "policyDefinitionId": definition, "enforcementMode": mode,
                "scope": "/subscriptions/s"}})
    };
    let built_in =
        "/providers/Microsoft.Authorization/policyDefinitions/871b6d14-10aa-478d-b590-94f262ecfa99";
    let missing = "/providers/Microsoft.Authorization/policyDefinitions/other";
    let initiative =
        "/providers/Microsoft.Authorization/policySetDefinitions/1f3afdf9-d0c9-4c3d-847f-89da613e70a8";
    let list = json!({"body": {"value": [
        assignment("a", built_in, "Default"),
        assignment("b", built_in, "DoNotEnforce"),
        assignment("c", missing, "Default"),
        assignment("d", initiative, "Default"),
        assignment("e", "../../secrets", "Default"),
    ]}});
    play(&app, "policyAssignments", &list);
    let result = check(&app, "ready", "").await;
    assert_eq!(
        (&result["verdict"], codes(&result)),
        (&json!("limited"), vec!["policyDenies", "policyUnknown"]),
        "{result}"
    );
    let policies = result["policies"].as_array().unwrap().iter();
    let policies: Vec<_> = policies
        .map(|policy| (policy["name"].as_str().unwrap(), policy["effect"].as_str().unwrap()))
        .collect();
    assert_eq!(policies, [("a", "deny"), ("c", "unknown"), ("d", "unknown"), ("e", "unknown")]);
    assert!(
        result["policies"][1]["reason"].as_str().unwrap().contains("404 (PolicyDefinitionNotFound)"),
        "{result}"
    );
}

/// Plays an assignment with these properties, of an initiative whose only policy has this rule.
fn play_initiative(app: &TestApp, properties: &Value, rule: &Value) {
    let scope = format!("/subscriptions/{}/providers/Microsoft.Authorization", app.seed.subscription_id);
    let mut assignment =
        json!({"id": format!("{scope}/policyAssignments/a"), "name": "a", "properties": properties});
    assignment["properties"]["policyDefinitionId"] = json!(format!("{scope}/policySetDefinitions/set"));
    assignment["properties"]["scope"] = json!(format!("/subscriptions/{}", app.seed.subscription_id));
    let member = json!({"policyDefinitionId": format!("{scope}/policyDefinitions/member"),
        "parameters": {"effect": {"value": "[parameters('mode')]"}}});
    let set = json!({"properties": {"parameters": {"mode": {"defaultValue": "Audit"}}, "policyDefinitions": [member]}});
    play(app, "policyAssignments", &json!({"body": {"value": [assignment]}}));
    play(app, "policySetDefinition", &json!({"body": set}));
    play(app, "policyDefinition", &json!({"body": {"properties": {"mode": "All", "policyRule": rule}}}));
}

#[tokio::test]
async fn policy_of_an_initiative_has_its_reason() {
    let app = TestApp::start().await;
    let type_equals = |name: &str| json!({"field": "type", "equals": name});
    // Unit tests cover the other effects and conditions.
    for (properties, condition, effect, verdict) in [
        (
            json!({"parameters": {"mode": {"value": "Deny"}}}),
            type_equals("Microsoft.Network/publicIPAddresses"),
            "[parameters('effect')]",
            "limited",
        ),
        (json!({}), type_equals("Microsoft.Compute/virtualMachineScaleSets"), "deny", "unusable"),
    ] {
        play_initiative(&app, &properties, &json!({"if": condition, "then": {"effect": effect}}));
        let result = check(&app, "ready", "").await;
        let case = format!("{properties} {condition} {effect}: {result}");
        assert_eq!((&result["verdict"], codes(&result)), (&json!(verdict), vec!["policyDenies"]), "{case}");
        let policies =
            result["policies"].as_array().unwrap().iter().map(|policy| policy["effect"].as_str().unwrap());
        assert_eq!(policies.collect::<Vec<_>>(), ["deny"], "{case}");
    }
}

#[tokio::test]
async fn slow_azure_leaves_parts_unknown_within_the_limit() {
    let app = TestApp::start().await;
    add_fault(&app, json!({"operation": "permissions", "latency_ms": UNRESPONSIVE_MS}));
    let started = Instant::now();
    let expire = async {
        app.wait_until_azure_hangs().await;
        advance_time(CHECK_TIMEOUT).await;
    };
    let (result, ()) = tokio::join!(check(&app, "ready", "resourceGroup=rancher"), expire);
    assert!(started.elapsed() < CHECK_TIMEOUT * 3, "{:?}", started.elapsed());
    app.control.clear_faults();
    assert_eq!((codes(&result), result["unchecked"].as_array().unwrap().len()), (vec!["notChecked"], 2));
    assert_eq!(result["providers"][0]["registered"], true);
}

#[tokio::test]
async fn throttled_azure_is_not_waited_for() {
    let app = TestApp::start().await;
    let started = Instant::now();
    let result = check(&app, "throttled", "").await;
    assert!(started.elapsed() < CHECK_TIMEOUT, "{:?}", started.elapsed());
    assert_eq!(result["verdict"], "limited");
    assert!(codes(&result).iter().all(|code| *code == "notChecked"), "{result}");
}

#[tokio::test]
async fn at_most_four_requests_run_at_once() {
    let app = TestApp::start().await;
    let latency_ms = 150;
    for operation in ["permissions", "provider", "policyAssignments"] {
        add_fault(&app, json!({"operation": operation, "latency_ms": latency_ms}));
    }
    let query: Vec<String> = (0..10).map(|number| format!("resourceGroup=group-{number}")).collect();
    let started = Instant::now();
    check(&app, "ready", &query.join("&")).await;
    // 11 lists of permissions, 11 of policies and 5 providers, four at a time.
    let rounds = u32::try_from((11_u64 + 11 + 5).div_ceil(4)).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(latency_ms) * (rounds - 1), "{:?}", started.elapsed());
    let logins = app.take_azure_requests().iter().filter(|request| request.contains("/token")).count();
    assert_eq!(logins, 1);
}

#[tokio::test]
async fn checks_of_one_caller_share_four_requests() {
    let app = TestApp::start().await;
    let latency_ms = 150;
    for operation in ["permissions", "provider", "policyAssignments"] {
        add_fault(&app, json!({"operation": operation, "latency_ms": latency_ms}));
    }
    let started = Instant::now();
    let checks = tokio::join!(check(&app, "ready", ""), check(&app, "ready", ""), check(&app, "empty", ""));
    // A list of permissions, one of policies and 5 providers for each, four at a time.
    let rounds = u32::try_from((3_u64 * (1 + 1 + 5)).div_ceil(4)).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(latency_ms) * (rounds - 1), "{:?}", started.elapsed());
    for result in [checks.0, checks.1, checks.2] {
        assert_eq!(result["verdict"], "usable", "{result}");
    }
}

#[tokio::test]
async fn check_without_free_permits_ends_in_time() {
    let app = TestApp::start().await;
    add_fault(&app, json!({"operation": "permissions", "latency_ms": UNRESPONSIVE_MS}));
    add_fault(&app, json!({"operation": "provider", "latency_ms": UNRESPONSIVE_MS}));
    let busy = check(&app, "ready", "");
    let late = async {
        app.wait_until_azure_hangs().await;
        let (started, account) = (Instant::now(), app.account("empty"));
        let other = app.post("/api/v1/credentials/check").token(&app.token("bob").await);
        let other = other.json(&account_credential(&account)).send();
        let own = check(&app, "empty", "");
        let expire = async {
            app.wait_until_azure_hangs().await;
            advance_time(CHECK_TIMEOUT).await;
        };
        let (own, other, ()) = tokio::join!(own, other, expire);
        (own, other.json(), started.elapsed())
    };
    let (_, (own, other, elapsed)) = tokio::join!(busy, late);
    assert!(elapsed < CHECK_TIMEOUT * 3, "{elapsed:?}");
    // The permits of the first check are released a moment before the deadline of the second one, or after it.
    assert_eq!(own["verdict"], "limited", "{own}");
    assert_eq!(other["login"]["status"], "accepted", "{other}");
}

#[tokio::test]
async fn check_sends_only_the_requests_that_azure_leaves() {
    let app = TestApp::start().await;
    let reads = Some(Bucket { size: 1, refill_per_minute: 25 * 60 });
    app.control.set_budget(app.seed.subscription_id, RequestBudget { reads, ..RequestBudget::default() });
    let result = check(&app, "ready", "").await;
    assert_eq!(result["login"]["status"], "accepted");
    assert!(codes(&result).contains(&"notChecked") && result["verdict"] == "limited", "{result}");
    assert!(result["unchecked"][0]["reason"].as_str().unwrap().contains("used up"), "{result}");
    let sent: Vec<String> =
        app.take_azure_requests().into_iter().filter(|request| !request.contains("/token")).collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    // The login is sent even if no request is left.
    let result = check(&app, "ready", "").await;
    assert_eq!(result["login"]["status"], "accepted");
}

async fn check_stored(app: &TestApp, id: &str, token: &str) -> TestResponse {
    app.get(&format!("/api/v1/credentials/{id}/check")).token(token).send().await
}

#[tokio::test]
async fn stored_credential_is_checked_for_those_who_may_use_it() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let id = app.store_credential(&ann).await;
    let bare_id = id.split_once(':').unwrap().1;
    for (id, token, status) in [
        (&*id, &ann, 200),
        (bare_id, &ann, 200),
        (&id, &app.admin, 200),
        (&id, &bob, 404),
        ("cc-zzzzz", &ann, 404),
        ("cattle-global-data:cc-zzzzz", &ann, 404),
        ("other:", &ann, 404),
        (&id, &"wrong".to_owned(), 401),
    ] {
        let response = check_stored(&app, id, token).await;
        assert_eq!(response.status, status, "{id}: {}", response.text());
    }
    let result = check_stored(&app, &id, &ann).await;
    assert_eq!(result.header("cache-control"), "no-store");
    let result = result.json();
    assert_eq!(
        (&result["verdict"], &result["subscriptionId"]),
        (&json!("usable"), &json!(app.seed.subscription_id))
    );
    assert_eq!(app.post(&format!("/api/v1/credentials/{id}/check")).send().await.status, 405);
}

#[tokio::test]
async fn secret_that_cannot_be_decrypted_is_a_reason() {
    let (app, id) = TestApp::builder().start_with_credential().await;
    app.execute("update credentials set ciphertext = x'00'").await;
    let result = check_stored(&app, &id, &app.admin).await.expect(200).json();
    assert_eq!((&result["verdict"], codes(&result)), (&json!("unusable"), vec!["secretUnreadable"]));
}

#[tokio::test]
async fn checks_are_audited() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.token("ann").await, app.token("bob").await);
    let id = app.store_credential(&ann).await;
    check_stored(&app, &id, &ann).await;
    add_fault(&app, json!({"operation": "token", "effect": {"status": {"status": 503}}}));
    check_stored(&app, &id, &ann).await;
    check_stored(&app, &id, &bob).await;
    app.clock.advance(Duration::from_secs(10));
    let mut outcomes = BTreeSet::new();
    for _ in 0..100 {
        let response = app.get("/api/v1/audit?action=checkCredential").send().await.json();
        outcomes = response["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["outcome"].as_str().unwrap().to_owned())
            .collect();
        if outcomes.len() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(outcomes, ["done", "failed", "refused"].map(str::to_owned).into());
}

#[tokio::test]
async fn malformed_requests_name_the_field() {
    let app = TestApp::start().await;
    let many: Vec<String> = (0..11).map(|number| format!("resourceGroup=group-{number}")).collect();
    let long = format!("resourceGroup={}", "x".repeat(91));
    let repeated = ["resourceGroup=a"; 11].join("&");
    let id = app.store_credential(&app.admin).await;
    app.take_azure_requests();
    for (query, field) in [
        ("group=a", "group"),
        ("resourceGroup=a%2Fb", "resourceGroup"),
        ("resourceGroup=..", "resourceGroup"),
        ("resourceGroup=rancher&resourceGroup=a%3Fb", "resourceGroup"),
        ("resourceGroup=%24%28reboot%29", "resourceGroup"),
        (&*repeated, "resourceGroup"),
        (&*long, "resourceGroup"),
        (&many.join("&"), "resourceGroup"),
    ] {
        let response = app
            .post(&format!("/api/v1/credentials/check?{query}"))
            .json(&app.credential(&json!({})))
            .send()
            .await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["fieldName"]),
            (422, &json!(field)),
            "{query}"
        );
        let path = format!("/api/v1/credentials/{id}/check?{query}");
        let response = app.get(&path).send().await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["fieldName"]),
            (422, &json!(field)),
            "{query}"
        );
        assert_eq!(app.get(&path).anonymous().send().await.status, 401);
    }
    assert_eq!(app.take_azure_requests(), Vec::<String>::new());
    for field in ["subscriptionId", "clientId", "clientSecret"] {
        let mut credential = app.credential(&json!({}));
        credential.as_object_mut().unwrap().remove(field);
        let response = app.post("/api/v1/credentials/check").json(&credential).send().await;
        assert_eq!((response.status.as_u16(), &response.json()["fieldName"]), (422, &json!(field)));
    }
    assert_eq!(app.post("/api/v1/credentials/check").body("{").send().await.status, 422);
    assert_eq!(app.post("/api/v1/credentials/check").anonymous().send().await.status, 401);
}
