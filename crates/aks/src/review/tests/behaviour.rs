//! Rules about networks, versions, Windows pools and regions, each with what Azure accepts and what it refuses. The second
//! table of docs/review.md.

use std::fmt::Write as _;

use serde_json::json;

use super::*;

/// What Azure accepts and what it refuses, in words and as specifications.
struct Behaviour {
    rule: &'static str,
    start: fn() -> Situation,
    accepts: (&'static str, Change),
    refuses: (&'static str, Change),
}

/// Azure with a subnet that has a route table.
fn routed(situation: &mut Situation) {
    networks(situation, with_subnet(json!({"routeTable": {"id": "/tables/rt"}})));
}

fn ranges() -> Vec<Behaviour> {
    vec![
        Behaviour {
            rule: "service-range-size",
            start: Situation::create,
            accepts: ("serviceCidr 10.0.0.0/13", |s| set(s, json!({"serviceCidr": "10.0.0.0/13"}))),
            refuses: ("serviceCidr 10.64.0.0/12", |s| {
                set(s, json!({"serviceCidr": "10.64.0.0/12", "dnsServiceIp": "10.64.0.10"}));
            }),
        },
        Behaviour {
            rule: "ranges-reserved",
            start: Situation::create,
            accepts: ("serviceCidr 172.29.0.0/16", |s| {
                set(s, json!({"serviceCidr": "172.29.0.0/16", "dnsServiceIp": "172.29.0.10"}));
            }),
            refuses: ("serviceCidr 172.30.0.0/16", |s| {
                set(s, json!({"serviceCidr": "172.30.0.0/16", "dnsServiceIp": "172.30.0.10"}));
            }),
        },
        Behaviour {
            rule: "dns-address",
            start: Situation::create,
            accepts: ("dnsServiceIp 10.1.0.2 in 10.1.0.0/16", |s| {
                set(s, json!({"dnsServiceIp": "10.1.0.2"}));
            }),
            refuses: ("dnsServiceIp 10.1.0.1, the first address", |s| {
                set(s, json!({"dnsServiceIp": "10.1.0.1"}));
            }),
        },
        Behaviour {
            rule: "network-apart",
            start: Situation::create,
            accepts: ("services 10.0.0.0/16 and nodes 10.240.0.0/16 in the network 10.0.0.0/8", |s| {
                unset(s, &["serviceCidr", "dnsServiceIp"]);
                networks(s, large_network(json!([])));
            }),
            refuses: ("services 10.240.8.0/24 in the subnet 10.240.0.0/16", |s| {
                set(s, json!({"serviceCidr": "10.240.8.0/24", "dnsServiceIp": "10.240.8.10"}));
                networks(s, large_network(json!([])));
            }),
        },
        Behaviour {
            rule: "subnet-fits",
            start: Situation::update,
            accepts: ("an overlay that grows to 20 nodes in a /26", |s| {
                overlay(s);
                set_pool(s, 1, json!({"maxCount": 20}));
                networks(s, with_subnet(json!({"addressPrefixes": ["10.40.0.0/26"]})));
            }),
            refuses: ("an overlay that grows to 90 nodes in a /26", |s| {
                overlay(s);
                set_pool(s, 1, json!({"maxCount": 90}));
                networks(s, with_subnet(json!({"addressPrefixes": ["10.40.0.0/26"]})));
            }),
        },
    ]
}

fn subnets() -> Vec<Behaviour> {
    vec![
        Behaviour {
            rule: "subnet-delegated",
            start: Situation::create,
            accepts: ("a subnet without a delegation", |_| ()),
            refuses: ("a subnet that is delegated to Microsoft.Web/serverFarms", |s| {
                networks(
                    s,
                    with_subnet(
                        json!({"delegations": [{"properties": {"serviceName": "Microsoft.Web/serverFarms"}}]}),
                    ),
                );
            }),
        },
        Behaviour {
            rule: "subnet-way-out",
            start: Situation::create,
            accepts: ("userDefinedRouting in a subnet with a route table", |s| {
                set(s, json!({"outboundType": "userDefinedRouting"}));
                routed(s);
            }),
            refuses: ("userDefinedRouting in a subnet without one", |s| {
                set(s, json!({"outboundType": "userDefinedRouting"}));
            }),
        },
        Behaviour {
            rule: "subnet-route-table",
            start: Situation::create,
            accepts: ("kubenet with a user-assigned identity in a subnet with a route table", |s| {
                set(
                    s,
                    json!({"networkPlugin": "kubenet", "managedIdentity": true, "userAssignedIdentity": IDENTITY}),
                );
                routed(s);
            }),
            refuses: ("kubenet with a system-assigned identity there", |s| {
                set(s, json!({"networkPlugin": "kubenet"}));
                routed(s);
            }),
        },
        Behaviour {
            rule: "subnets-mixed",
            start: Situation::update,
            accepts: ("a new pool without a subnet, which gets that of the others", |s| {
                set_pool(s, 1, json!({"name": "new"}));
            }),
            refuses: ("a pool with a subnet beside pools in Azure's own network", |s| {
                in_managed_network(s);
                set_pool(s, 1, json!({"name": "new", "vnetSubnetID": SUBNET}));
            }),
        },
        Behaviour {
            rule: "subnets-one-network",
            start: Situation::update,
            accepts: ("pools in two subnets of one network", |s| {
                set_pool(s, 1, json!({"name": "new", "vnetSubnetID": SUBNET.replace("nodes", "more")}));
            }),
            refuses: ("pools in two networks", |s| {
                set_pool(s, 1, json!({"name": "new", "vnetSubnetID": SUBNET.replace("/net/", "/other/")}));
            }),
        },
    ]
}

fn others() -> Vec<Behaviour> {
    vec![
        Behaviour {
            rule: "linux-pools",
            start: Situation::update,
            accepts: ("a Windows pool that is in Azure, scaled", |s| {
                azure_has_windows(s);
                set_pool(s, 1, json!({"osType": "Windows", "maxCount": 4}));
            }),
            refuses: ("a new Windows pool in a cluster that was made without a Windows profile", |s| {
                set_pool(s, 1, json!({"name": "win", "osType": "Windows"}));
            }),
        },
        Behaviour {
            rule: "network-isolation",
            start: Situation::update,
            accepts: ("network policies with cilium", |s| {
                overlay(s);
                s.isolation = true;
            }),
            refuses: ("network policies where no engine enforces them", |s| {
                overlay(s);
                s.upstream.as_mut().unwrap()["networkPolicy"] = json!("none");
                s.isolation = true;
            }),
        },
        Behaviour {
            rule: "region-exists",
            start: Situation::create,
            accepts: ("eastus", |_| ()),
            refuses: ("middleearth", |s| set(s, json!({"resourceLocation": "middleearth"}))),
        },
        Behaviour {
            rule: "version-one-minor",
            start: Situation::update,
            accepts: ("1.30.100 to 1.32.7 with long-term support", |s| {
                with_long_term_support(s);
                set(s, json!({"kubernetesVersion": "1.32.7"}));
            }),
            refuses: ("1.32.7 to 1.34.1", |s| set(s, json!({"kubernetesVersion": "1.34.1"}))),
        },
        Behaviour {
            rule: "version-not-lowered",
            start: Situation::update,
            accepts: ("1.32 where 1.32.7 runs: nothing changes", |s| {
                set(s, json!({"kubernetesVersion": "1.32"}));
            }),
            refuses: ("1.32.6 where 1.32.7 runs", |s| set(s, json!({"kubernetesVersion": "1.32.6"}))),
        },
        Behaviour {
            rule: "pool-version-offered",
            start: Situation::update,
            accepts: ("a pool of 1.30.101 in a cluster with long-term support", |s| {
                with_long_term_support(s);
                set_pool(s, 1, json!({"name": "older", "orchestratorVersion": "1.30.101"}));
            }),
            refuses: ("the same beside 1.32.7 without it", |s| {
                set_pool(s, 1, json!({"name": "older", "orchestratorVersion": "1.30.101"}));
            }),
        },
    ]
}

fn behaviours() -> impl Iterator<Item = Behaviour> {
    ranges().into_iter().chain(subnets()).chain(others())
}

#[test]
fn rules_accept_and_refuse_what_azure_does() {
    for Behaviour { rule, start, accepts, refuses } in behaviours() {
        let source = rules().find(|it| it.name == rule).expect(rule).source;
        assert!(source.contains("https://"), "{rule}: {source}");
        assert_eq!(start().with(accepts.1).fields(rule), [""; 0], "{rule}: {}", accepts.0);
        let review = start().with(refuses.1).review();
        let finding = review.findings.iter().find(|finding| finding.rule == rule);
        let severity = finding.map(|finding| finding.severity);
        assert_eq!(severity, Some(Severity::Error), "{rule}: {} {review:#?}", refuses.0);
    }
}

/// The table of docs/review.md.
pub(super) fn table() -> String {
    let mut table = "\n## As Azure behaves\n\nWhat these rules let through, and what they refuse, is what Azure does:\n\n\
        | Rule | Accepted | Refused |\n|---|---|---|\n"
        .to_owned();
    for Behaviour { rule, accepts, refuses, .. } in behaviours() {
        writeln!(table, "| `{rule}` | {} | {} |", accepts.0, refuses.0).unwrap();
    }
    table
}
