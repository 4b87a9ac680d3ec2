//! The review as a whole; its rules are tested with [`examples`].

mod example;
mod examples;
mod hops;
mod review_input;
mod vm_sizes;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::rule::Scope;
use super::*;
use crate::testing::{extended, from_json};

use review_input::{
    ReviewInput, denied, in_managed_network, in_network, permissions, reference, running_version,
};

fn set_keys(keys: Value) -> impl Fn(&mut ReviewInput) {
    move |input| input.set(keys.clone())
}

#[test]
fn remedies_name_only_reachable_versions() {
    for (running, keys, expected) in [
        (
            "1.32.7",
            json!({"kubernetesVersion": "1.32.99"}),
            "is not offered in eastus: use one of 1.32.9, 1.33.3",
        ),
        ("1.32.7", json!({"kubernetesVersion": "1.34.1"}), "cannot be skipped: upgrade to 1.33.3 first"),
        ("1.32.7", json!({"kubernetesVersion": "1.35.1"}), "cannot be skipped: use one of 1.32.9, 1.33.3"),
        // A preview is named only if no other version is offered.
        ("1.33.3", json!({"kubernetesVersion": "1.33.99"}), "is not offered in eastus: use one of 1.34.1"),
        (
            "1.34.1",
            json!({"kubernetesVersion": "1.34.9"}),
            "leave it at 1.34.1, from which Azure offers no upgrade at the moment",
        ),
        (
            "1.32.7",
            json!({"[1].name": "new", "[1].orchestratorVersion": "1.32.1"}),
            "is not offered in eastus: use 1.32.7",
        ),
    ] {
        let review = ReviewInput::update().with(running_version(running)).with(set_keys(keys)).review();
        let sentence = review.first_error().expect("an error").sentence();
        assert!(sentence.ends_with(expected), "{sentence}");
    }
}

#[test]
fn stored_value_without_effect_does_not_block() {
    let keys = json!({"azure:networkPolicy": "none", "tags": {"team": "b"}});
    let review = ReviewInput::update().with(in_managed_network).with(set_keys(keys)).review();
    let findings: Vec<_> =
        review.findings.iter().map(|finding| (finding.rule.as_str(), finding.severity)).collect();
    assert_eq!(findings, [("without-effect", Severity::Warning); 4], "{review:#?}");
}

#[test]
fn running_import_has_only_advice() {
    // Clusters that this server does not create: an overlay with cilium, UDR with kubenet, another plugin.
    for (keys, requested_keys) in [
        (
            json!({"networkPolicy": "cilium", "podCidr": "10.244.0.0/16"}),
            &["networkPlugin", "networkPolicy", "podCidr"][..],
        ),
        (json!({"networkPlugin": "none", "networkPolicy": "none"}), &["networkPlugin", "networkPolicy"]),
        (
            json!({"networkPlugin": "kubenet", "outboundType": "userDefinedRouting"}),
            &["networkPlugin", "outboundType"],
        ),
        (
            json!({"loadBalancerSku": "gateway", "outboundType": "block"}),
            &["loadBalancerSku", "outboundType"],
        ),
        (
            json!({"serviceCidr": "172.30.0.0/16", "dnsServiceIp": "172.30.0.10"}),
            &["serviceCidr", "dnsServiceIp"],
        ),
    ] {
        let mut import = ReviewInput::update();
        import.imported = true;
        let upstream = extended(import.upstream.take().unwrap(), keys.clone());
        let upstream = extended(upstream, json!({"clusterName": "theirs"}));
        import.spec = ReviewInput::import().spec;
        import.stored = Some(import.spec.clone());
        for key in requested_keys.iter().chain(&["nodePools"]) {
            import.set(json!({*key: upstream[*key]}));
        }
        import.upstream = Some(upstream);
        let review = import.review();
        let beyond_advice = review.findings.iter().filter(|finding| finding.severity != Severity::Advice);
        assert_eq!(beyond_advice.cloned().collect::<Vec<Finding>>(), [], "{keys}");
    }
}

#[test]
fn region_can_be_corrected_until_the_cluster_is_in_azure() {
    let in_westus2 = || set_keys(json!({"resourceLocation": "westus2"}));
    let review = ReviewInput::update().with(in_westus2()).review();
    assert_eq!(review.first_error().unwrap().field, "aksConfig.resourceLocation");
    let network = json!({"name": "Net", "location": "westus2",
        "properties": {"subnets": [{"name": "nodes", "properties": {"addressPrefix": "10.40.0.0/16"}}]}});
    let not_in_azure = |offered_region: &str| {
        ReviewInput::update().with(in_westus2()).with(in_network(network.clone())).with(|input| {
            input.upstream = None;
            input.azure.regions = Read::Known(from_json(json!([{"name": offered_region}])));
        })
    };
    assert_eq!(not_in_azure("westus2").review().first_error(), None);
    assert_eq!(not_in_azure("eastus").review().first_error().unwrap().rule, "region-exists");
    // Azure's region is always accepted.
    let corrected = ReviewInput::update()
        .with(in_westus2())
        .with(|input| input.details.region = Some("westus2".to_owned()));
    assert_eq!(corrected.review().first_error(), None);
}

#[test]
fn credential_cannot_be_removed() {
    for start in [ReviewInput::update, ReviewInput::import] {
        for empty in [json!(""), Value::Null] {
            let review = start().with(set_keys(json!({"azureCredentialSecret": empty}))).review();
            assert_eq!(review.first_error().unwrap().field, "aksConfig.azureCredentialSecret", "{review:#?}");
        }
    }
}

#[test]
fn valid_cluster_has_no_findings() {
    for input in [ReviewInput::create(), ReviewInput::update(), ReviewInput::import()] {
        assert_eq!(input.review(), Review::default(), "{}", input.spec);
    }
}

#[test]
fn dashboard_and_terraform_specifications_are_accepted() {
    let dashboard = json!({
        "imported": false, "linuxAdminUsername": "azureuser", "loadBalancerSku": "Standard", "networkPlugin": "kubenet",
        "outboundType": "LoadBalancer", "privateCluster": false, "serviceCidr": "10.0.0.0/16", "dnsServiceIp": "10.0.0.10",
        "dockerBridgeCidr": "172.17.0.1/16", "tags": {}, "clusterName": "shop", "resourceGroup": "rg", "resourceLocation": "eastus",
        "azureCredentialSecret": "cattle-global-data:cc-1", "dnsPrefix": "shop-dns", "kubernetesVersion": "1.32.7",
        "nodePools": [{"name": "agentpool", "count": 1, "maxPods": 110, "maxSurge": "1", "mode": "System", "osDiskSizeGB": 128,
            "osDiskType": "Managed", "osType": "Linux", "vmSize": "Standard_D4s_v3", "availabilityZones": ["1", "2", "3"],
            "enableAutoScaling": false, "nodeLabels": {}, "nodeTaints": [], "orchestratorVersion": "1.32.7"}],
    });
    let terraform = json!({
        "azureCredentialSecret": "cattle-global-data:cc-1", "clusterName": "tfs-mini", "dnsPrefix": "tfs-mini", "kubernetesVersion": "1.32.7",
        "httpApplicationRouting": false, "monitoring": false, "networkPlugin": "kubenet", "outboundType": "loadBalancer",
        "privateCluster": false, "resourceGroup": "tfs-group", "resourceLocation": "eastus",
        "nodePools": [{"availabilityZones": [], "count": 1, "enableAutoScaling": false, "maxPods": 110, "mode": "System", "name": "agentpool",
            "orchestratorVersion": "", "osDiskSizeGB": 128, "osDiskType": "Managed", "osType": "Linux", "vmSize": "Standard_D4s_v3"}],
    });
    for spec in [dashboard, terraform] {
        let review = ReviewInput::create().with(|input| input.spec = spec.clone()).review();
        let only_advice = review.findings.iter().all(|finding| finding.severity == Severity::Advice);
        assert!(only_advice && review.unchecked.is_empty(), "{spec}: {review:#?}");
        assert!(!review.findings.is_empty(), "expected advice, for example about kubenet");
    }
}

#[test]
fn rules_that_need_azure_are_unchecked_without_its_data() {
    let keys = json!({"dnsPrefix": "a_b", "kubernetesVersion": "1.32.99"});
    let review = ReviewInput::create()
        .with(set_keys(keys))
        .with(|input| input.azure = AzureData::unknown("no answer"))
        .review();
    let errors: Vec<_> = review.errors().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(errors, ["dns-prefix"]);
    let unchecked: BTreeSet<_> = review.unchecked.iter().map(|rule| rule.rule.as_str()).collect();
    let needs_azure_on_create =
        |rule: &&Rule| !rule.needs.is_empty() && matches!(rule.scope, Scope::Managed | Scope::New);
    assert_eq!(unchecked, rules().filter(needs_azure_on_create).map(|rule| rule.name).collect());
    let sentence = review.unchecked_sentence().unwrap();
    assert!(sentence.starts_with("not checked against Azure: region-exists, "), "{sentence}");
    assert!(sentence.ends_with(" (no answer)"), "{sentence}");
    assert_eq!(ReviewInput::create().review().unchecked_sentence(), None);
}

#[test]
fn rejection_message_counts_further_errors() {
    let rejection = |keys: Value| ReviewInput::create().with(set_keys(keys)).review().rejection_message();
    assert_eq!(rejection(json!({})), None);
    let three_errors =
        rejection(json!({"dnsPrefix": "a_b", "loadBalancerSku": "Gold", "networkPolicy": "cilium"})).unwrap();
    assert!(
        three_errors.ends_with(" or leave it out (and 2 more: POST /api/v1/aks/review lists all)"),
        "{three_errors}"
    );
    // Warnings are not counted.
    let one_error = rejection(json!({"dnsPrefix": "a_b", "httpApplicationRouting": true})).unwrap();
    assert!(!one_error.contains(" more"), "{one_error}");
    // Messages of Rancher's validation on save have no count.
    let rancher_error = rejection(json!({"dnsPrefix": "a_b", "resourceLocation": null})).unwrap();
    assert!(
        rancher_error.starts_with("must provide region: ") && !rancher_error.contains(" more"),
        "{rancher_error}"
    );
}

#[test]
fn missing_block_leaves_other_rules_checked() {
    let input = ReviewInput::create().with(set_keys(json!({"[1].vmSize": "Standard_D4s_v9"})));
    let review = input.with(|input| input.azure.usages = Read::Unknown("403".to_owned())).review();
    let unchecked = |rule: &str| Unchecked { rule: rule.to_owned(), reason: "403".to_owned() };
    assert_eq!(review.unchecked, [unchecked("quota"), unchecked("quota-of-autoscaling")]);
    assert_eq!(review.first_error().unwrap().rule, "size-exists");
}

#[test]
fn change_is_blocked_only_by_errors_that_it_introduces() {
    // Errors of the stored specification are warnings.
    let with_stored_error =
        || set_keys(json!({"dnsPrefix": "a_b", "stored:dnsPrefix": "a_b", "tags": {"team": "b"}}));
    let review = ReviewInput::update().with(with_stored_error()).review();
    assert_eq!(review.first_error(), None, "{review:#?}");
    let is_warning =
        |finding: &Finding| finding.rule == "dns-prefix" && finding.severity == Severity::Warning;
    assert!(review.findings.iter().any(is_warning));
    let review =
        ReviewInput::update().with(with_stored_error()).with(set_keys(json!({"tags": {"a/b": ""}}))).review();
    assert_eq!(review.first_error().unwrap().rule, "tags");
}

#[test]
fn imports_are_blocked_by_missing_cluster_or_fixed_field() {
    let review =
        ReviewInput::import().with(set_keys(json!({"clusterName": "a b", "resourceLocation": ""}))).review();
    assert_eq!(review.first_error(), None);
    let review = ReviewInput::import().with(|input| input.azure.cluster = Read::Known(None)).review();
    assert_eq!(review.first_error().unwrap().rule, "import-exists");
    let review_import_change = |change: Value| {
        let stored = ReviewInput::import().spec;
        let spec = extended(stored.clone(), change);
        ReviewInput { spec, stored: Some(stored), ..ReviewInput::update() }.review()
    };
    assert_eq!(
        review_import_change(json!({"dnsPrefix": "other"})).first_error().unwrap().field,
        "aksConfig.dnsPrefix"
    );
    assert_eq!(
        review_import_change(json!({"dnsPrefix": "shop", "networkPlugin": "azure"})).first_error(),
        None
    );
    let review = review_import_change(json!({"kubernetesVersion": "1.30.0"}));
    assert_eq!(review.first_error(), None);
    assert!(review.findings.iter().any(|finding| finding.rule == "version-not-lowered"), "{review:#?}");
}

#[test]
fn rejected_credential_blocks_every_change() {
    for start in [ReviewInput::create, ReviewInput::update, ReviewInput::import] {
        let review = start().with(denied(DenialKind::Credential, "x", "y", false)).review();
        let first = review.first_error().unwrap();
        assert!(first.rule == "credential-refused" && first.rests_on_azure, "{first:?}");
    }
}

#[test]
fn only_recent_permissions_may_be_transient() {
    let recent = || denied(DenialKind::Credential, "x", "y", true);
    for (input, expected) in [
        (ReviewInput::create(), false),
        (ReviewInput::create().with(recent()), true),
        (
            ReviewInput::create()
                .with(|input| input.azure.permissions = Read::Known(permissions(&["*/read"]))),
            true,
        ),
        (ReviewInput::create().with(denied(DenialKind::Credential, "x", "y", false)), false),
        (ReviewInput::create().with(recent()).with(set_keys(json!({"dnsPrefix": "a_b"}))), false),
        (ReviewInput::create().with(recent()).with(|input| input.advise = true), false),
    ] {
        let is_transient =
            input.with_subject(|subject, azure| may_be_transient(&review(subject, azure), subject, azure));
        assert_eq!(is_transient, expected, "{:?}", input.azure.denial);
    }
}

#[test]
fn value_from_terraform_state_has_a_remedy() {
    let invalid_taint = || set_keys(json!({"[1].nodeTaints": ["a"]}));
    for (input, expected) in [
        (ReviewInput::update().with(invalid_taint()), true),
        // The response restores the user's values.
        (ReviewInput::update().with(set_keys(json!({"tags": {"a/b": ""}}))), false),
        (ReviewInput::update().with(set_keys(json!({"tags": {"a/b": ""}, "before:tags": null}))), true),
        // If Azure has a value, the response contains it.
        (
            ReviewInput::update()
                .with(set_keys(json!({"serviceCidr": "10.9.0.0/16", "stored:serviceCidr": null}))),
            false,
        ),
        (ReviewInput::create().with(invalid_taint()), false),
    ] {
        let review = input.review();
        let remedy = &review.first_error().unwrap().remedy;
        assert_eq!(remedy.contains("terraform state rm"), expected, "{remedy}");
    }
}

#[test]
fn advise_turns_errors_from_azure_into_warnings() {
    let review_with_advise =
        |keys: Value| ReviewInput::create().with(set_keys(keys)).with(|input| input.advise = true).review();
    let review = review_with_advise(json!({"kubernetesVersion": "1.32.99"}));
    let first = &review.findings[0];
    assert_eq!((first.rule.as_str(), first.severity), ("version-offered", Severity::Warning));
    let review = review_with_advise(json!({"kubernetesVersion": "1.32.99", "dnsPrefix": "a_b"}));
    assert_eq!(review.first_error().unwrap().rule, "dns-prefix");
}

#[test]
fn findings_are_sorted_by_severity_and_round_trip() {
    let keys = json!({"networkPlugin": "kubenet", "httpApplicationRouting": true, "dnsPrefix": "a_b"});
    let review = ReviewInput::create().with(set_keys(keys)).review();
    assert!(review.findings.is_sorted_by_key(|finding| finding.severity), "{review:#?}");
    let severities: BTreeSet<_> = review.findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities.len(), 3);
    let serialized = json!(review).to_string();
    assert!(
        serialized.contains(r#""severity":"error""#) && serialized.contains(r#""restsOnAzure":false"#),
        "{serialized}"
    );
    assert_eq!(serde_json::from_str::<Review>(&serialized).unwrap(), review);
}

#[test]
fn only_needed_data_is_requested() {
    use DataPart as D;
    let parts = |input: ReviewInput| -> Vec<DataPart> {
        input.with_subject(|subject, _| needed_data(subject)).into_iter().collect()
    };
    let all = [
        D::Cluster,
        D::Networks,
        D::NodeGroup,
        D::Permissions,
        D::Provider,
        D::Regions,
        D::Sizes,
        D::Subscription,
        D::Usages,
        D::Versions,
    ];
    assert_eq!(parts(ReviewInput::create()), all);
    assert_eq!(parts(ReviewInput::import()), [D::Cluster, D::Subscription]);
    assert_eq!(parts(ReviewInput::update()), []);
    let change = |keys: Value| parts(ReviewInput::update().with(set_keys(keys)));
    // The parts that show whether the credential may change anything at all.
    let access = [D::Cluster, D::Subscription];
    assert_eq!(change(json!({"tags": {}, "monitoring": false})), access);
    assert_eq!(change(json!({"kubernetesVersion": "1.33.3"})), [D::Cluster, D::Subscription, D::Versions]);
    let growth = [D::Cluster, D::Networks, D::Sizes, D::Subscription, D::Usages];
    assert_eq!(change(json!({"[1].maxCount": 4})), growth);
    assert_eq!(change(json!({"[1].maxCount": 2})), access);
    let networks = ReviewInput::update().with_subject(|subject, _| networks(subject));
    assert_eq!(networks.into_iter().collect::<Vec<_>>(), [reference("net")]);
}
