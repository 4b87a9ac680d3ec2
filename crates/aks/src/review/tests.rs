//! Every rule with specifications that break it and one that does not, and the review as a whole.

mod behaviour;

use std::fmt::Write as _;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::rule::Scope;
use super::*;
use crate::arm::{Permission, Subscription};
use crate::cluster_details::ClusterDetails;
use crate::provision::imported::Named;
use crate::spec::AksConfig;

/// What is judged, all of it open to change.
struct Situation {
    spec: Value,
    /// The cluster before the change; `None` for a new one.
    stored: Option<Value>,
    upstream: Option<Value>,
    details: ClusterDetails,
    imported: bool,
    isolation: bool,
    advise: bool,
    unknown: Vec<UnknownField>,
    facts: Facts,
    azure: AzureData,
    named: Named,
}

const DAY_MS: i64 = 24 * 3_600 * 1_000;

fn new_cluster() -> Value {
    json!({
        "clusterName": "shop", "resourceGroup": "rg", "resourceLocation": "eastus", "azureCredentialSecret": "cattle-global-data:cc-1",
        "dnsPrefix": "shop", "kubernetesVersion": "1.32.7", "networkPlugin": "azure", "networkPolicy": "calico",
        "serviceCidr": "10.1.0.0/16", "dnsServiceIp": "10.1.0.10", "loadBalancerSku": "Standard", "outboundType": "loadBalancer",
        "virtualNetwork": "Net", "virtualNetworkResourceGroup": "RG-net", "subnet": "Nodes", "nodeResourceGroup": "rg-nodes",
        "linuxAdminUsername": "azureuser", "sshPublicKey": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC0 me@home",
        "authorizedIpRanges": ["203.0.113.0/24"], "managedIdentity": true, "monitoring": true, "tags": {"team": "a"},
        "logAnalyticsWorkspaceGroup": "rg", "logAnalyticsWorkspaceName": "logs", "privateCluster": false,
        "nodePools": [
            pool(json!({"name": "system", "mode": "System", "vmSize": "Standard_D4s_v3", "nodeTaints": ["CriticalAddonsOnly=true:NoSchedule"]})),
            pool(json!({"name": "user", "enableAutoScaling": true, "minCount": 1, "maxCount": 3, "nodeLabels": {"a.b/c": "d", "e": ""}})),
        ],
    })
}

fn pool(more: Value) -> Value {
    let mut pool = json!({"name": "p", "mode": "User", "count": 2, "maxPods": 60, "osDiskSizeGB": 64, "osDiskType": "Managed",
        "osType": "Linux", "vmSize": "Standard_D4s_v3", "orchestratorVersion": "1.32.7", "availabilityZones": ["1", "2"], "maxSurge": "1"});
    pool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    pool
}

fn read<T: for<'de> serde::Deserialize<'de>>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn network() -> Value {
    json!({"name": "Net", "location": "East US", "properties": {"addressSpace": {"addressPrefixes": ["10.40.0.0/16", "fd00::/48"]}, "subnets": [
        {"name": "nodes", "properties": {"addressPrefixes": ["10.40.0.0/22", "fd00::/64"], "ipConfigurations": []}},
    ]}})
}

fn reference(name: &str) -> NetworkRef {
    NetworkRef { subscription: None, group: "rg-net".to_owned(), name: name.to_owned() }
}

fn offer(more: Value) -> Value {
    let mut offer = json!({"resourceType": "virtualMachines", "name": "Standard_D4s_v3", "family": "standardDSv3Family",
        "locationInfo": [{"zones": ["3", "1", "2"]}], "restrictions": [], "capabilities": [
            {"name": "vCPUs", "value": "4"}, {"name": "MemoryGB", "value": "16"}, {"name": "EphemeralOSDiskSupported", "value": "True"},
            {"name": "CachedDiskBytes", "value": "107374182400"}, {"name": "LowPriorityCapable", "value": "True"}]});
    offer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    offer
}

fn offers(list: Value) -> Read<Vec<crate::arm::VmOffer>> {
    let list: crate::arm::Maybe<Vec<_>> = read(list);
    Read::Known(list.0.unwrap())
}

fn azure() -> AzureData {
    let patches = |upgrades: Value| json!({"upgrades": upgrades});
    AzureData {
        versions: Read::Known(read(json!([
            {"version": "1.34", "isPreview": true, "capabilities": {"supportPlan": ["KubernetesOfficial"]}, "patchVersions": {"1.34.1": patches(json!([]))}},
            {"version": "1.33", "capabilities": {"supportPlan": ["KubernetesOfficial"]}, "patchVersions": {"1.33.3": patches(json!(["1.34.1"]))}},
            {"version": "1.32", "capabilities": {"supportPlan": ["KubernetesOfficial"]}, "patchVersions": {
                "1.32.7": patches(json!(["1.32.9", "1.33.3"])), "1.32.9": patches(json!(["1.33.3"]))}},
            {"version": "1.30", "capabilities": {"supportPlan": ["AKSLongTermSupport"]}, "patchVersions": {"1.30.101": patches(json!(["1.32.7"]))}},
        ]))),
        own_upgrades: Vec::new(),
        sizes: offers(json!([offer(json!({}))])),
        networks: Read::Known(vec![ReadNetwork { reference: reference("net"), network: read(network()) }]),
        usages: Read::Known(read(json!([{"name": {"value": "cores"}, "currentValue": 10, "limit": 100}]))),
        regions: Read::Known(read(
            json!([{"name": "eastus", "metadata": {"regionType": "Physical"}}, {"name": "europe", "metadata": {"regionType": "Logical"}}]),
        )),
        node_group: Read::Known(false),
        cluster: Read::Known(None),
        subscription: Read::Known(Subscription { state: Some("Enabled".to_owned()) }),
        permissions: Read::Known(permissions(&["*"])),
        provider: Read::Known(ProviderState { registered: true, subscription_roles: None }),
        denial: None,
    }
}

/// One role that grants these actions in the resource group of the cluster.
fn permissions(actions: &[&str]) -> Permissions {
    Permissions {
        client_id: "app".to_owned(),
        scope: "/subscriptions/sub/resourceGroups/rg".to_owned(),
        group_exists: true,
        roles: roles(actions),
    }
}

fn roles(actions: &[&str]) -> Vec<Permission> {
    let actions = actions.iter().map(|action| (*action).to_owned()).collect();
    vec![Permission { actions, not_actions: Vec::new() }]
}

fn denial(kind: DenialKind, message: &str, remedy: &str, may_be_recent: bool) -> Denial {
    Denial { kind, message: message.to_owned(), remedy: remedy.to_owned(), may_be_recent }
}

impl Situation {
    fn create() -> Self {
        Self {
            spec: new_cluster(),
            stored: None,
            upstream: None,
            details: ClusterDetails::default(),
            imported: false,
            isolation: false,
            advise: false,
            unknown: Vec::new(),
            facts: Facts {
                now_ms: 1_000 * DAY_MS,
                credential_changed_ms: Some(990 * DAY_MS),
                cluster_created_ms: None,
                credential_sent_along: false,
            },
            azure: azure(),
            named: Named::default(),
        }
    }

    /// A change of a cluster that is there.
    fn update() -> Self {
        let mut upstream = new_cluster();
        // What Azure adds by itself.
        upstream["podCidr"] = json!("10.244.0.0/16");
        for pool in upstream["nodePools"].as_array_mut().unwrap() {
            pool["vnetSubnetID"] = json!(
                "/subscriptions/SUB/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/net/subnets/nodes"
            );
        }
        Self { stored: Some(new_cluster()), upstream: Some(upstream), ..Self::create() }
    }

    fn import() -> Self {
        let spec = json!({"imported": true, "clusterName": "theirs", "resourceGroup": "rg", "resourceLocation": "eastus",
            "azureCredentialSecret": "cattle-global-data:cc-1"});
        let mut situation = Self { spec, imported: true, ..Self::create() };
        situation.azure.cluster = Read::Known(Some(ExistingCluster::default()));
        situation
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn judge<T>(&self, judge: impl FnOnce(&Subject<'_>, &AzureData) -> T) -> T {
        let spec: AksConfig = read(self.spec.clone());
        let stored: Option<AksConfig> = self.stored.clone().map(read);
        let upstream: Option<AksConfig> = self.upstream.clone().map(read);
        let purpose = match &stored {
            Some(stored) => Purpose::Update(Before {
                stored,
                applied: None,
                upstream: upstream.as_ref(),
                details: &self.details,
                named: Some(&self.named),
                isolation: false,
            }),
            None if self.imported => Purpose::Import,
            None => Purpose::Create,
        };
        let subject = Subject {
            spec: &spec,
            purpose,
            id: stored.as_ref().map(|_| "c-1"),
            subscription_id: Some("sub"),
            isolation: self.isolation,
            advise: self.advise,
            unknown: &self.unknown,
            facts: self.facts,
        };
        judge(&subject, &self.azure)
    }

    fn review(&self) -> Review {
        self.judge(review)
    }

    fn fields(&self, rule: &str) -> Vec<String> {
        let findings = self.review().findings.into_iter();
        findings.filter(|finding| finding.rule == rule).map(|finding| finding.field).collect()
    }
}

type Change = fn(&mut Situation);

/// A rule with what breaks it (and which field it names then), and what comes close without breaking it. Beside those,
/// the situation as it stands must not break it.
struct Example {
    rule: &'static str,
    start: fn() -> Situation,
    breaks: Vec<(&'static str, Change)>,
    keeps: Vec<Change>,
}

macro_rules! example {
    ($rule:literal, $start:ident, [$($field:literal: $breaks:expr),* $(,)?], [$($keeps:expr),* $(,)?]) => {
        Example {
            rule: $rule,
            start: Situation::$start,
            breaks: vec![$(($field, $breaks)),*],
            keeps: vec![$($keeps),*],
        }
    };
}

/// Sets keys of the specification.
fn set(situation: &mut Situation, keys: Value) {
    situation.spec.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
}

/// Sets keys of a pool.
fn set_pool(situation: &mut Situation, index: usize, keys: Value) {
    situation.spec["nodePools"][index].as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
}

fn unset(situation: &mut Situation, keys: &[&str]) {
    for key in keys {
        situation.spec.as_object_mut().unwrap().remove(*key);
    }
}

fn networks(situation: &mut Situation, network: Value) {
    situation.azure.networks =
        Read::Known(vec![ReadNetwork { reference: reference("net"), network: read(network) }]);
}

fn with_subnet(keys: Value) -> Value {
    let mut network = network();
    let subnet = network["properties"]["subnets"][0]["properties"].as_object_mut().unwrap();
    subnet.extend(keys.as_object().unwrap().clone());
    network
}

/// Azure has the pool `user` with Windows nodes.
fn azure_has_windows(situation: &mut Situation) {
    situation.upstream.as_mut().unwrap()["nodePools"][1]["osType"] = json!("Windows");
}

/// The cluster in Azure is an overlay, with cilium.
fn overlay(situation: &mut Situation) {
    situation.details.overlay = true;
    let keys = json!({"networkPolicy": "cilium", "podCidr": "10.244.0.0/16"});
    situation.upstream.as_mut().unwrap().as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    for spec in [&mut situation.spec, situation.stored.as_mut().unwrap()] {
        spec.as_object_mut().unwrap().remove("networkPolicy");
    }
}

const SUBNET: &str =
    "/subscriptions/SUB/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/net/subnets/nodes";

/// The network of Azure's tutorials: services and nodes are in one large address space.
fn large_network(more: Value) -> Value {
    let mut subnets = vec![json!({"name": "nodes", "properties": {"addressPrefix": "10.240.0.0/16"}})];
    subnets.extend(more.as_array().unwrap().clone());
    json!({"name": "Net", "location": "eastus", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}, "subnets": subnets}})
}

/// The cluster is in a network that Azure made.
fn in_managed_network(situation: &mut Situation) {
    let upstream = situation.upstream.as_mut().unwrap();
    for key in ["virtualNetwork", "virtualNetworkResourceGroup", "subnet"] {
        upstream.as_object_mut().unwrap().remove(key);
    }
    for pool in upstream["nodePools"].as_array_mut().unwrap() {
        pool.as_object_mut().unwrap().remove("vnetSubnetID");
    }
}

fn required() -> Vec<Example> {
    vec![
        example!("network-isolation", create, ["aksConfig.networkPolicy": |s| {
            s.isolation = true;
            set(s, json!({"networkPolicy": "none"}));
        }], [|s| s.isolation = true, |s| {
            s.isolation = true;
            set(s, json!({"networkPolicy": "cilium"}));
        }, |s| {
            s.isolation = true;
            unset(s, &["networkPolicy"]);
        }]),
        example!("region-given", create, ["aksConfig.resourceLocation": |s| unset(s, &["resourceLocation"])], []),
        example!("fields-given", create, [
            "aksConfig.resourceGroup": |s| set(s, json!({"resourceGroup": ""})),
            "aksConfig.clusterName": |s| unset(s, &["clusterName"]),
            "aksConfig.azureCredentialSecret": |s| unset(s, &["azureCredentialSecret"]),
        ], [|s| {
            s.facts.credential_sent_along = true;
            unset(s, &["azureCredentialSecret"]);
        }]),
        example!("fields-given", update, [
            "aksConfig.azureCredentialSecret": |s| unset(s, &["azureCredentialSecret"]),
            "aksConfig.azureCredentialSecret": |s| set(s, json!({"azureCredentialSecret": ""})),
        ], []),
        example!("fields-given", import, [
            "aksConfig.azureCredentialSecret": |s| unset(s, &["azureCredentialSecret"]),
            "aksConfig.resourceGroup": |s| set(s, json!({"resourceGroup": ""})),
        ], []),
        example!("version-given", create, [
            "aksConfig.kubernetesVersion": |s| unset(s, &["kubernetesVersion"]),
            "aksConfig.kubernetesVersion": |s| set(s, json!({"kubernetesVersion": ""})),
        ], []),
        example!("version-given", update, [], [|s| unset(s, &["kubernetesVersion"])]),
        example!("dns-prefix-given", create, ["aksConfig.dnsPrefix": |s| set(s, json!({"dnsPrefix": ""}))], []),
        example!("pools-given", create, ["aksConfig.nodePools": |s| set(s, json!({"nodePools": []}))], []),
        example!("pool-name-given", create, ["aksConfig.nodePools[1].name": |s| set_pool(s, 1, json!({"name": ""}))], []),
        example!("pool-names-unique", create, ["aksConfig.nodePools[1].name": |s| set_pool(s, 1, json!({"name": "system"}))], []),
        example!("pool-fields-given", create, [
            "aksConfig.nodePools[0].count": |s| set_pool(s, 0, json!({"count": null})),
            "aksConfig.nodePools[1].maxPods": |s| set_pool(s, 1, json!({"maxPods": null})),
            "aksConfig.nodePools[1].vmSize": |s| set_pool(s, 1, json!({"vmSize": ""})),
            "aksConfig.nodePools[1].osDiskSizeGB": |s| set_pool(s, 1, json!({"osDiskSizeGB": null})),
            "aksConfig.nodePools[1].osDiskType": |s| set_pool(s, 1, json!({"osDiskType": null})),
            "aksConfig.nodePools[1].mode": |s| set_pool(s, 1, json!({"mode": null})),
            "aksConfig.nodePools[1].osType": |s| set_pool(s, 1, json!({"osType": null})),
        ], []),
        example!(
            "pool-fields-given",
            update,
            [],
            [|s| s.spec["nodePools"][1] = json!({"name": "user", "count": 3})]
        ),
        example!("linux-pools", create, [
            "aksConfig.nodePools[1].osType": |s| set_pool(s, 1, json!({"osType": "Windows"})),
            "aksConfig.nodePools[1].osType": |s| set_pool(s, 1, json!({"osType": "windows"})),
            "aksConfig.nodePools[1].osType": |s| set_pool(s, 1, json!({"osType": "Plan9"})),
        ], [|s| set_pool(s, 1, json!({"osType": "linux"}))]),
        example!("linux-pools", update, ["aksConfig.nodePools[1].osType": |s| {
            azure_has_windows(s);
            set_pool(s, 1, json!({"name": "new", "osType": "Windows"}));
        }], [|s| {
            azure_has_windows(s);
            set_pool(s, 1, json!({"osType": "Windows", "maxCount": 4}));
        }]),
        example!("system-pool", create, [
            "aksConfig.nodePools": |s| set_pool(s, 0, json!({"mode": "User"})),
            "aksConfig.nodePools": |s| unset(s, &["nodePools"]),
        ], [|s| set_pool(s, 0, json!({"mode": "system"}))]),
    ]
}

fn combinations() -> Vec<Example> {
    vec![
        example!("network-plugin", create, [
            "aksConfig.networkPlugin": |s| set(s, json!({"networkPlugin": "none"})),
            "aksConfig.networkPlugin": |s| set(s, json!({"networkPlugin": "Azure"})),
        ], [|s| set(s, json!({"networkPlugin": ""}))]),
        example!("network-policy", create, ["aksConfig.networkPolicy": |s| set(s, json!({"networkPolicy": "cilium"}))],
            [|s| set(s, json!({"networkPolicy": ""}))]),
        example!(
            "network-policy",
            update,
            [],
            [|s| {
                s.upstream.as_mut().unwrap()["networkPolicy"] = json!("none");
                s.stored.as_mut().unwrap()["networkPolicy"] = json!("");
                unset(s, &["networkPolicy"]);
            }]
        ),
        example!("azure-policy-plugin", create, ["aksConfig.networkPolicy": |s| set(s, json!({"networkPolicy": "azure", "networkPlugin": "kubenet"}))],
            [|s| set(s, json!({"networkPolicy": "azure"}))]),
        example!("outbound-type", create, ["aksConfig.outboundType": |s| set(s, json!({"outboundType": "pigeon"}))],
            [|s| set(s, json!({"outboundType": "LoadBalancer"})), |s| set(s, json!({"outboundType": ""}))]),
        example!("routing-plugin", create, ["aksConfig.outboundType": |s| set(s, json!({"outboundType": "UserDefinedRouting", "networkPlugin": "kubenet"}))],
            [|s| set(s, json!({"outboundType": "UserDefinedRouting"}))]),
        example!("routing-subnet", create, ["aksConfig.subnet": |s| {
            set(s, json!({"outboundType": "userDefinedRouting"}));
            unset(s, &["virtualNetwork", "virtualNetworkResourceGroup", "subnet"]);
        }], [|s| set(s, json!({"outboundType": "userDefinedRouting"}))]),
        example!("own-network-complete", create, [
            "aksConfig.subnet": |s| unset(s, &["subnet"]),
            "aksConfig.virtualNetwork": |s| unset(s, &["virtualNetwork"]),
            "aksConfig.virtualNetwork": |s| unset(s, &["virtualNetwork", "subnet"]),
        ], [|s| unset(s, &["virtualNetwork", "virtualNetworkResourceGroup", "subnet"])]),
        example!("nat-gateway-network", create, [
            "aksConfig.outboundType": |s| set(s, json!({"outboundType": "managedNATGateway"})),
            "aksConfig.outboundType": |s| {
                set(s, json!({"outboundType": "userAssignedNATGateway"}));
                unset(s, &["virtualNetwork", "virtualNetworkResourceGroup", "subnet"]);
            },
        ], [|s| set(s, json!({"outboundType": "userAssignedNATGateway"})), |s| {
            set(s, json!({"outboundType": "managedNATGateway"}));
            unset(s, &["virtualNetwork", "virtualNetworkResourceGroup", "subnet"]);
        }]),
        example!("load-balancer-sku", create, ["aksConfig.loadBalancerSku": |s| set(s, json!({"loadBalancerSku": "Gold"}))],
            [|s| set(s, json!({"loadBalancerSku": "STANDARD"})), |s| set(s, json!({"loadBalancerSku": "basic"}))]),
        example!("load-balancer-standard", create, ["aksConfig.loadBalancerSku": |s| {
            set(s, json!({"loadBalancerSku": "basic", "nodePools": [pool(json!({"mode": "System", "availabilityZones": []}))], "authorizedIpRanges": [],
                "privateCluster": true}));
        }, "aksConfig.loadBalancerSku": |s| {
            set(s, json!({"loadBalancerSku": "basic", "nodePools": [pool(json!({"mode": "System"}))], "authorizedIpRanges": []}));
        }], [|s| {
            set(s, json!({"loadBalancerSku": "basic", "nodePools": [pool(json!({"mode": "System", "availabilityZones": []}))], "authorizedIpRanges": []}));
        }]),
        example!("load-balancer-basic-retired", create, ["aksConfig.loadBalancerSku": |s| set(s, json!({"loadBalancerSku": "Basic"}))], []),
        example!("pod-range-plugin", create, ["aksConfig.podCidr": |s| set(s, json!({"podCidr": "10.244.0.0/16"}))],
            [|s| set(s, json!({"podCidr": "10.244.0.0/16", "networkPlugin": "kubenet"}))]),
        example!("pod-range-plugin", update, [], []),
    ]
}

fn names() -> Vec<Example> {
    vec![
        example!("cluster-name", create, [
            "aksConfig.clusterName": |s| set(s, json!({"clusterName": "-shop"})),
            "aksConfig.clusterName": |s| set(s, json!({"clusterName": "a b"})),
            "aksConfig.clusterName": |s| set(s, json!({"clusterName": "x".repeat(64)})),
        ], [|s| set(s, json!({"clusterName": "x".repeat(63)})), |s| set(s, json!({"clusterName": "A_b-1"}))]),
        example!("resource-group-name", create, [
            "aksConfig.resourceGroup": |s| set(s, json!({"resourceGroup": "ends."})),
            "aksConfig.resourceGroup": |s| set(s, json!({"resourceGroup": "a/b"})),
            "aksConfig.virtualNetworkResourceGroup": |s| set(s, json!({"virtualNetworkResourceGroup": "x".repeat(91)})),
            "aksConfig.logAnalyticsWorkspaceGroup": |s| set(s, json!({"logAnalyticsWorkspaceGroup": "?"})),
        ], [|s| set(s, json!({"resourceGroup": "Grüße_(1).x"}))]),
        example!("node-resource-group-name", create, ["aksConfig.nodeResourceGroup": |s| set(s, json!({"nodeResourceGroup": "x".repeat(81)}))],
            [|s| set(s, json!({"nodeResourceGroup": "x".repeat(80)}))]),
        example!("node-resource-group-own", create, ["aksConfig.nodeResourceGroup": |s| set(s, json!({"nodeResourceGroup": "RG"}))], []),
        example!("dns-prefix", create, [
            "aksConfig.dnsPrefix": |s| set(s, json!({"dnsPrefix": "a_b"})),
            "aksConfig.dnsPrefix": |s| set(s, json!({"dnsPrefix": "a-"})),
            "aksConfig.dnsPrefix": |s| set(s, json!({"dnsPrefix": "x".repeat(55)})),
        ], [|s| set(s, json!({"dnsPrefix": "x".repeat(54)}))]),
        example!("pool-name", create, [
            "aksConfig.nodePools[1].name": |s| set_pool(s, 1, json!({"name": "User"})),
            "aksConfig.nodePools[1].name": |s| set_pool(s, 1, json!({"name": "1user"})),
            "aksConfig.nodePools[1].name": |s| set_pool(s, 1, json!({"name": "a-b"})),
            "aksConfig.nodePools[1].name": |s| set_pool(s, 1, json!({"name": "abcdefghijklm"})),
        ], [|s| set_pool(s, 1, json!({"name": "abcdefghijk1"}))]),
        example!("network-name", create, [
            "aksConfig.virtualNetwork": |s| set(s, json!({"virtualNetwork": "n"})),
            "aksConfig.subnet": |s| set(s, json!({"subnet": "-nodes"})),
        ], [|s| set(s, json!({"subnet": "n.o_"}))]),
        example!("subnet-id", create, ["aksConfig.nodePools[1].vnetSubnetID": |s| set_pool(s, 1, json!({"vnetSubnetID": "nodes"}))], [|s| {
            set_pool(s, 1, json!({"vnetSubnetID": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/x"}));
        }]),
        example!("workspace-name", create, [
            "aksConfig.logAnalyticsWorkspaceName": |s| set(s, json!({"logAnalyticsWorkspaceName": "abc"})),
            "aksConfig.logAnalyticsWorkspaceName": |s| set(s, json!({"logAnalyticsWorkspaceName": "a_bc"})),
        ], []),
        example!("region-name", create, ["aksConfig.resourceLocation": |s| set(s, json!({"resourceLocation": "east/us"}))],
            [|s| set(s, json!({"resourceLocation": "East US"}))]),
        example!("region-exists", create, [
            "aksConfig.resourceLocation": |s| set(s, json!({"resourceLocation": "middleearth"})),
            "aksConfig.resourceLocation": |s| set(s, json!({"resourceLocation": "europe"})),
        ], [|s| set(s, json!({"resourceLocation": "East US"}))]),
    ]
}

fn metadata() -> Vec<Example> {
    vec![
        example!("tags", create, [
            "aksConfig.tags": |s| set(s, json!({"tags": {"a/b": ""}})),
            "aksConfig.tags": |s| set(s, json!({"tags": {"a": "x".repeat(257)}})),
            "aksConfig.tags": |s| set(s, json!({"tags": {"Azure-x": ""}})),
            "aksConfig.tags": |s| set(s, json!({"tags": {"a": "", "A": ""}})),
        ], [|s| set(s, json!({"tags": {"cost center": "x".repeat(256)}}))]),
        example!("tag-count", create, ["aksConfig.tags": |s| {
            let tags: serde_json::Map<_, _> = (0..50).map(|n| (format!("t{n}"), json!(""))).collect();
            set(s, json!({"tags": tags}));
        }], [|s| {
            let tags: serde_json::Map<_, _> = (0..49).map(|n| (format!("t{n}"), json!(""))).collect();
            set(s, json!({"tags": tags}));
        }]),
        example!("node-labels", create, [
            "aksConfig.nodePools[1].nodeLabels": |s| set_pool(s, 1, json!({"nodeLabels": {"a b": ""}})),
            "aksConfig.nodePools[1].nodeLabels": |s| set_pool(s, 1, json!({"nodeLabels": {"a": "x/y"}})),
            "aksConfig.nodePools[1].nodeLabels": |s| set_pool(s, 1, json!({"nodeLabels": {"UPPER.example/a": ""}})),
        ], []),
        example!("node-labels-reserved", create, ["aksConfig.nodePools[1].nodeLabels": |s| {
            set_pool(s, 1, json!({"nodeLabels": {"kubernetes.azure.com/mode": "user"}}));
        }], []),
        example!("node-taints", create, [
            "aksConfig.nodePools[1].nodeTaints": |s| set_pool(s, 1, json!({"nodeTaints": ["dedicated:NoSchedule"]})),
            "aksConfig.nodePools[1].nodeTaints": |s| set_pool(s, 1, json!({"nodeTaints": ["a=b"]})),
            "aksConfig.nodePools[1].nodeTaints": |s| set_pool(s, 1, json!({"nodeTaints": ["a=b:Never"]})),
            "aksConfig.nodePools[1].nodeTaints": |s| set_pool(s, 1, json!({"nodeTaints": ["=b:NoSchedule"]})),
        ], [|s| set_pool(s, 1, json!({"nodeTaints": ["a.b/c=d:PreferNoSchedule", "e=:NoExecute"]}))]),
        example!("node-taints-empty", create, [
            "aksConfig.nodePools[1].nodeTaints": |s| set_pool(s, 1, json!({"nodeTaints": ["a=:NoSchedule"]})),
        ], [|s| set_pool(s, 1, json!({"nodeTaints": ["a=b:NoSchedule", "a=b:Never"]}))]),
    ]
}

fn network_ranges() -> Vec<Example> {
    vec![
        example!("range-form", create, [
            "aksConfig.serviceCidr": |s| set(s, json!({"serviceCidr": "10.1.0.0"})),
            "aksConfig.serviceCidr": |s| set(s, json!({"serviceCidr": "fd00:1::/108"})),
            "aksConfig.podCidr": |s| set(s, json!({"podCidr": "10.1.0.0/33"})),
            "aksConfig.dnsServiceIp": |s| set(s, json!({"dnsServiceIp": "fd00:1::a"})),
        ], [|s| unset(s, &["serviceCidr", "dnsServiceIp"])]),
        example!("service-range-size", create, ["aksConfig.serviceCidr": |s| set(s, json!({"serviceCidr": "10.64.0.0/12"}))],
            [|s| set(s, json!({"serviceCidr": "10.64.0.0/13"}))]),
        example!("ranges-reserved", create, [
            "aksConfig.serviceCidr": |s| set(s, json!({"serviceCidr": "172.30.0.0/16"})),
            "aksConfig.serviceCidr": |s| set(s, json!({"serviceCidr": "172.24.0.0/13"})),
            "aksConfig.podCidr": |s| set(s, json!({"podCidr": "192.0.0.0/16"})),
        ], [|s| set(s, json!({"serviceCidr": "172.29.0.0/16"}))]),
        example!("ranges-apart", create, [
            "aksConfig.serviceCidr": |s| set(s, json!({"podCidr": "10.0.0.0/8"})),
            "aksConfig.serviceCidr": |s| set(s, json!({"serviceCidr": "10.244.0.0/20", "networkPlugin": "kubenet"})),
            "aksConfig.podCidr": |s| {
                set(s, json!({"podCidr": "10.0.0.0/17"}));
                unset(s, &["serviceCidr"]);
            },
        ], [|s| set(s, json!({"podCidr": "10.2.0.0/16"}))]),
        example!("dns-address", create, [
            "aksConfig.dnsServiceIp": |s| set(s, json!({"dnsServiceIp": "10.2.0.10"})),
            "aksConfig.dnsServiceIp": |s| set(s, json!({"dnsServiceIp": "10.1.0.0"})),
            "aksConfig.dnsServiceIp": |s| set(s, json!({"dnsServiceIp": "10.1.0.1"})),
            "aksConfig.dnsServiceIp": |s| unset(s, &["dnsServiceIp"]),
        ], [|s| set(s, json!({"dnsServiceIp": "10.1.0.2"})), |s| unset(s, &["dnsServiceIp", "serviceCidr"])]),
        example!("managed-network-apart", create, ["aksConfig.serviceCidr": |s| {
            set(s, json!({"serviceCidr": "10.230.0.0/16", "dnsServiceIp": "10.230.0.10"}));
            unset(s, &["virtualNetwork", "virtualNetworkResourceGroup", "subnet"]);
        }], [|s| unset(s, &["virtualNetwork", "virtualNetworkResourceGroup", "subnet"])]),
    ]
}

fn own_networks() -> Vec<Example> {
    vec![
        example!("network-exists", create, [
            "aksConfig.virtualNetwork": |s| s.azure.networks = Read::Known(vec![ReadNetwork { reference: reference("net"), network: None }]),
            "aksConfig.subnet": |s| set(s, json!({"subnet": "other"})),
            "aksConfig.nodePools[1].vnetSubnetID": |s| {
                set_pool(s, 1, json!({"vnetSubnetID": "/subscriptions/SUB/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/net/subnets/x"}));
            },
            "aksConfig.nodePools[1].vnetSubnetID": |s| {
                set_pool(s, 1, json!({"vnetSubnetID": "/subscriptions/sub/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/other/subnets/x"}));
            },
        ], [|s| set(s, json!({"subnet": "NODES"}))]),
        example!("network-region", create, ["aksConfig.subnet": |s| {
            let mut network = network();
            network["location"] = json!("westus");
            networks(s, network);
        }], []),
        example!("network-reserved", create, ["aksConfig.subnet": |s| {
            let mut network = network();
            network["properties"]["addressSpace"]["addressPrefixes"] = json!(["10.40.0.0/16", "172.16.0.0/12"]);
            networks(s, network);
        }], []),
        example!("network-apart", create, [
            "aksConfig.serviceCidr": |s| set(s, json!({"serviceCidr": "10.40.2.0/24", "dnsServiceIp": "10.40.2.10"})),
            "aksConfig.podCidr": |s| set(s, json!({"podCidr": "10.40.0.0/17", "networkPlugin": "kubenet"})),
            // Azure's own choice counts too, and so do subnets of others.
            "aksConfig.serviceCidr": |s| {
                unset(s, &["serviceCidr", "dnsServiceIp"]);
                networks(s, large_network(json!([{"name": "other", "properties": {"addressPrefix": "10.0.8.0/24"}}])));
            },
        ], [
            |s| set(s, json!({"podCidr": "10.244.0.0/16", "networkPlugin": "kubenet"})),
            |s| set(s, json!({"serviceCidr": "10.40.8.0/24", "dnsServiceIp": "10.40.8.10"})),
            |s| {
                unset(s, &["serviceCidr", "dnsServiceIp"]);
                networks(s, large_network(json!([])));
            },
        ]),
        example!("network-space-apart", create, [
            "aksConfig.serviceCidr": |s| set(s, json!({"serviceCidr": "10.40.8.0/24", "dnsServiceIp": "10.40.8.10"})),
            "aksConfig.serviceCidr": |s| {
                unset(s, &["serviceCidr", "dnsServiceIp"]);
                networks(s, large_network(json!([])));
            },
        ], [|s| set(s, json!({"serviceCidr": "10.40.2.0/24", "dnsServiceIp": "10.40.2.10"}))]),
        example!("subnet-route-table", create, ["aksConfig.userAssignedIdentity": |s| {
            set(s, json!({"networkPlugin": "kubenet"}));
            networks(s, with_subnet(json!({"routeTable": {"id": "/tables/rt"}})));
        }, "aksConfig.userAssignedIdentity": |s| {
            set(s, json!({"networkPlugin": "kubenet", "managedIdentity": false, "userAssignedIdentity": IDENTITY}));
            networks(s, with_subnet(json!({"routeTable": {"id": "/tables/rt"}})));
        }], [|s| set(s, json!({"networkPlugin": "kubenet"})), |s| {
            networks(s, with_subnet(json!({"routeTable": {"id": "/tables/rt"}})));
        }, |s| {
            set(s, json!({"networkPlugin": "kubenet", "managedIdentity": true, "userAssignedIdentity": IDENTITY}));
            networks(s, with_subnet(json!({"routeTable": {"id": "/tables/rt"}})));
        }]),
        example!("subnets-mixed", create, ["aksConfig.nodePools[1].vnetSubnetID": |s| {
            unset(s, &["virtualNetwork", "virtualNetworkResourceGroup", "subnet"]);
            set_pool(s, 1, json!({"vnetSubnetID": SUBNET}));
        }], [|s| set_pool(s, 1, json!({"vnetSubnetID": SUBNET})), |s| {
            unset(s, &["virtualNetwork", "virtualNetworkResourceGroup", "subnet"]);
            set_pool(s, 0, json!({"vnetSubnetID": SUBNET}));
            set_pool(s, 1, json!({"vnetSubnetID": SUBNET}));
        }]),
        example!("subnets-mixed", update, ["aksConfig.nodePools[1].vnetSubnetID": |s| {
            in_managed_network(s);
            set_pool(s, 1, json!({"name": "new", "vnetSubnetID": SUBNET}));
        }], [|s| set_pool(s, 1, json!({"name": "new"})), |s| {
            in_managed_network(s);
            set_pool(s, 1, json!({"name": "new"}));
        }]),
        example!("subnets-one-network", create, ["aksConfig.nodePools[1].vnetSubnetID": |s| {
            set_pool(s, 1, json!({"vnetSubnetID": SUBNET.replace("/net/", "/other/")}));
        }], [|s| set_pool(s, 1, json!({"vnetSubnetID": SUBNET.replace("nodes", "more")}))]),
        example!("subnets-one-network", update, ["aksConfig.nodePools[1].vnetSubnetID": |s| {
            set_pool(s, 1, json!({"name": "new", "vnetSubnetID": SUBNET.replace("/net/", "/other/")}));
        }], [|s| set_pool(s, 1, json!({"name": "new", "vnetSubnetID": SUBNET.replace("nodes", "more")}))]),
        example!("subnet-delegated", create, ["aksConfig.subnet": |s| {
            networks(s, with_subnet(json!({"delegations": [{"properties": {"serviceName": "Microsoft.Web/serverFarms"}}]})));
        }], []),
        example!("subnet-way-out", create, [
            "aksConfig.outboundType": |s| set(s, json!({"outboundType": "userDefinedRouting"})),
            "aksConfig.outboundType": |s| set(s, json!({"outboundType": "userAssignedNATGateway"})),
        ], [|s| {
            set(s, json!({"outboundType": "userDefinedRouting"}));
            networks(s, with_subnet(json!({"routeTable": {"id": "/x"}})));
        }, |s| {
            set(s, json!({"outboundType": "userAssignedNATGateway"}));
            networks(s, with_subnet(json!({"natGateway": {"id": "/x"}})));
        }]),
    ]
}

fn address_counts() -> Vec<Example> {
    vec![
        // (2 + 1) x 61 + (3 + 1) x 61 = 427 of 1024 - 5.
        example!("subnet-fits", create, [
            "aksConfig.subnet": |s| networks(s, with_subnet(json!({"ipConfigurations": vec![json!({}); 593]}))),
            "aksConfig.subnet": |s| networks(s, with_subnet(json!({"addressPrefixes": ["10.40.0.0/24"]}))),
            "aksConfig.subnet": |s| set_pool(s, 1, json!({"maxCount": 14})),
            "aksConfig.subnet": |s| set_pool(s, 1, json!({"maxSurge": "370%", "maxCount": 10})),
            "aksConfig.subnet": |s| {
                set(s, json!({"networkPlugin": "kubenet"}));
                networks(s, with_subnet(json!({"addressPrefixes": ["10.40.0.0/29"]})));
            },
        ], [
            |s| networks(s, with_subnet(json!({"ipConfigurations": vec![json!({}); 592]}))),
            |s| set_pool(s, 1, json!({"maxCount": 12})),
            |s| {
                set(s, json!({"networkPlugin": "kubenet"}));
                networks(s, with_subnet(json!({"addressPrefixes": ["10.40.0.0/28"]})));
            },
        ]),
        // What the cluster has already is among what is in use.
        example!("subnet-fits", update, ["aksConfig.nodePools[0].vnetSubnetID": |s| {
            set_pool(s, 1, json!({"maxCount": 14}));
            networks(s, with_subnet(json!({"ipConfigurations": vec![json!({}); 244]})));
        }], [|s| {
            set_pool(s, 1, json!({"maxCount": 12}));
            networks(s, with_subnet(json!({"ipConfigurations": vec![json!({}); 427]})));
        }, |s| {
            set_pool(s, 1, json!({"maxCount": 2}));
            networks(s, with_subnet(json!({"addressPrefixes": ["10.40.0.0/26"]})));
        }]),
        // In an overlay, and with a subnet for pods, only nodes take addresses of the subnet.
        example!("subnet-fits", update, ["aksConfig.nodePools[0].vnetSubnetID": |s| {
            overlay(s);
            set_pool(s, 1, json!({"maxCount": 90}));
            networks(s, with_subnet(json!({"addressPrefixes": ["10.40.0.0/26"]})));
        }], [|s| {
            overlay(s);
            set_pool(s, 1, json!({"maxCount": 20}));
            networks(s, with_subnet(json!({"addressPrefixes": ["10.40.0.0/26"]})));
        }, |s| {
            s.details.pod_subnet_pools = ["system".to_owned(), "user".to_owned()].into();
            set_pool(s, 1, json!({"maxCount": 20}));
            networks(s, with_subnet(json!({"addressPrefixes": ["10.40.0.0/26"]})));
        }, |s| {
            s.details.pod_subnet_pools = ["system".to_owned(), "user".to_owned()].into();
            set_pool(s, 1, json!({"name": "new", "maxCount": 20}));
            networks(s, with_subnet(json!({"addressPrefixes": ["10.40.0.0/26"]})));
        }]),
        example!("pod-range-fits", update, ["aksConfig.podCidr": |s| {
            overlay(s);
            s.upstream.as_mut().unwrap()["podCidr"] = json!("10.244.0.0/22");
            set_pool(s, 1, json!({"maxCount": 4}));
        }], [|s| {
            overlay(s);
            set_pool(s, 1, json!({"maxCount": 4}));
        }]),
        example!("pod-range-fits", create, ["aksConfig.podCidr": |s| set(s, json!({"networkPlugin": "kubenet", "podCidr": "10.244.0.0/22"}))],
            [|s| set(s, json!({"networkPlugin": "kubenet", "podCidr": "10.244.0.0/21"}))]),
    ]
}

/// A cluster of 1.30.100 whose support plan is the long one.
fn with_long_term_support(situation: &mut Situation) {
    situation.details = ClusterDetails {
        running_version: Some("1.30.100".to_owned()),
        long_term: true,
        ..ClusterDetails::default()
    };
    situation.azure.own_upgrades = vec!["1.30.101".to_owned(), "1.32.7".to_owned()];
    for spec in
        [&mut situation.spec, situation.stored.as_mut().unwrap(), situation.upstream.as_mut().unwrap()]
    {
        spec["kubernetesVersion"] = json!("1.30.100");
        for pool in spec["nodePools"].as_array_mut().unwrap() {
            pool["orchestratorVersion"] = json!("1.30.100");
        }
    }
}

/// The sentence of the first error.
fn refusal_of(change: impl FnOnce(&mut Situation)) -> String {
    Situation::update().with(change).review().first_error().expect("an error").sentence()
}

#[test]
fn remedies_name_only_versions_that_can_be_reached() {
    let to = |version: &str| {
        let version = version.to_owned();
        refusal_of(move |s| set(s, json!({"kubernetesVersion": version})))
    };
    assert!(
        to("1.32.99").ends_with("is not offered in eastus: use one of 1.32.9, 1.33.3"),
        "{}",
        to("1.32.99")
    );
    assert!(to("1.34.1").ends_with("cannot be skipped: use one of 1.32.9, 1.33.3"), "{}", to("1.34.1"));
    let from = |running: &'static str, wanted: &'static str| {
        refusal_of(move |s| {
            s.details.running_version = Some(running.to_owned());
            set(s, json!({"kubernetesVersion": wanted}));
        })
    };
    // A preview is named only where there is nothing else.
    assert!(
        from("1.33.3", "1.33.99").ends_with("is not offered in eastus: use one of 1.34.1"),
        "{}",
        from("1.33.3", "1.33.99")
    );
    let end = from("1.34.1", "1.34.9");
    assert!(end.ends_with("leave it at 1.34.1, from which Azure offers no upgrade at the moment"), "{end}");
    let pool = refusal_of(|s| set_pool(s, 1, json!({"name": "new", "orchestratorVersion": "1.32.1"})));
    assert!(pool.ends_with("is not offered in eastus: use 1.32.7"), "{pool}");
}

fn versions() -> Vec<Example> {
    vec![
        example!("version-form", create, [
            "aksConfig.kubernetesVersion": |s| set(s, json!({"kubernetesVersion": "1.32.7-rc1"})),
            "aksConfig.nodePools[1].orchestratorVersion": |s| set_pool(s, 1, json!({"orchestratorVersion": "latest"})),
        ], [|s| set(s, json!({"kubernetesVersion": "1.32"})), |s| set(s, json!({"kubernetesVersion": " v1.32.7"})),
            |s| set_pool(s, 1, json!({"orchestratorVersion": ""}))]),
        example!("version-not-lowered", update, [
            "aksConfig.kubernetesVersion": |s| set(s, json!({"kubernetesVersion": "1.32.6"})),
            "aksConfig.kubernetesVersion": |s| set(s, json!({"kubernetesVersion": "1.31"})),
        ], [|s| set(s, json!({"kubernetesVersion": "1.32"})), |s| set(s, json!({"kubernetesVersion": "1.33.3"}))]),
        example!("version-one-minor", update, ["aksConfig.kubernetesVersion": |s| set(s, json!({"kubernetesVersion": "1.34.1"}))],
        [|s| set(s, json!({"kubernetesVersion": "1.33.9"})), |s| {
            set(s, json!({"kubernetesVersion": "1.34.1"}));
            s.azure.own_upgrades = vec!["1.34.1".to_owned()];
        }]),
        example!("pool-version-skew", create, [
            "aksConfig.nodePools[1].orchestratorVersion": |s| set_pool(s, 1, json!({"orchestratorVersion": "1.33.3"})),
            "aksConfig.nodePools[1].orchestratorVersion": |s| set_pool(s, 1, json!({"orchestratorVersion": "1.32.9"})),
            "aksConfig.nodePools[1].orchestratorVersion": |s| set_pool(s, 1, json!({"orchestratorVersion": "1.28.5"})),
            "aksConfig.nodePools[1].orchestratorVersion": |s| {
                set(s, json!({"kubernetesVersion": "1.27.3"}));
                set_pool(s, 0, json!({"orchestratorVersion": "1.27.3"}));
                set_pool(s, 1, json!({"orchestratorVersion": "1.24.9"}));
            },
        ], [|s| set_pool(s, 1, json!({"orchestratorVersion": "1.29.5"})), |s| set_pool(s, 1, json!({"orchestratorVersion": "1.32"})), |s| {
            set(s, json!({"kubernetesVersion": "1.27.3"}));
            set_pool(s, 0, json!({"orchestratorVersion": "1.27.3"}));
            set_pool(s, 1, json!({"orchestratorVersion": "1.25.9"}));
        }]),
        example!("pool-version-not-lowered", update, ["aksConfig.nodePools[1].orchestratorVersion": |s| set_pool(s, 1, json!({"orchestratorVersion": "1.32.6"}))],
            [|s| set_pool(s, 1, json!({"orchestratorVersion": ""}))]),
        example!("version-offered", create, [
            "aksConfig.kubernetesVersion": |s| set(s, json!({"kubernetesVersion": "1.32.8"})),
            "aksConfig.kubernetesVersion": |s| set(s, json!({"kubernetesVersion": "1.30.101"})),
        ], [|s| set(s, json!({"kubernetesVersion": "1.32"}))]),
        example!("version-offered", update, ["aksConfig.kubernetesVersion": |s| set(s, json!({"kubernetesVersion": "1.33.4"}))], [|s| {
            // Azure has retired the version since; nobody wants another one.
            s.azure.versions = Read::Known(vec![]);
            set_pool(s, 1, json!({"orchestratorVersion": "1.31.0"}));
        }]),
        example!("version-reachable", update, ["aksConfig.kubernetesVersion": |s| set(s, json!({"kubernetesVersion": "1.33.99"}))],
            [|s| set(s, json!({"kubernetesVersion": "1.32.9"})), |s| set(s, json!({"kubernetesVersion": "1.33"}))]),
        example!("pool-version-offered", create, ["aksConfig.nodePools[1].orchestratorVersion": |s| set_pool(s, 1, json!({"orchestratorVersion": "1.32.1"}))],
            [|s| set_pool(s, 1, json!({"orchestratorVersion": ""}))]),
        // What runs counts, not what was asked for or is written.
        example!("version-not-lowered", update, ["aksConfig.kubernetesVersion": |s| {
            s.details.running_version = Some("1.32.9".to_owned());
            set(s, json!({"kubernetesVersion": "1.32.8"}));
        }], [|s| {
            s.details.running_version = Some("1.32.9".to_owned());
            set(s, json!({"kubernetesVersion": "1.32"}));
        }]),
        example!("pool-version-not-lowered", update, ["aksConfig.nodePools[1].orchestratorVersion": |s| {
            s.details.pool_versions.insert("user".to_owned(), "1.32.7".to_owned());
            s.upstream.as_mut().unwrap()["nodePools"][1]["orchestratorVersion"] = json!("1.32");
            set_pool(s, 1, json!({"orchestratorVersion": "1.32.6"}));
        }], [|s| {
            s.details.pool_versions.insert("user".to_owned(), "1.32.7".to_owned());
            set_pool(s, 1, json!({"orchestratorVersion": "1.32"}));
        }]),
        // Long-term support: what Azure names for the cluster can be had, and nobody else can have it.
        example!(
            "version-offered",
            update,
            [],
            [|s| {
                with_long_term_support(s);
                set(s, json!({"kubernetesVersion": "1.30.101"}));
            }]
        ),
        example!("pool-version-offered", update, ["aksConfig.nodePools[1].orchestratorVersion": |s| {
            set_pool(s, 1, json!({"name": "older", "orchestratorVersion": "1.30.101"}));
        }], [|s| {
            with_long_term_support(s);
            set_pool(s, 1, json!({"name": "older", "orchestratorVersion": "1.30.101"}));
        }]),
        example!(
            "version-one-minor",
            update,
            [],
            [|s| {
                with_long_term_support(s);
                set(s, json!({"kubernetesVersion": "1.32.7"}));
            }]
        ),
        example!("version-reachable", update, ["aksConfig.kubernetesVersion": |s| {
            with_long_term_support(s);
            set(s, json!({"kubernetesVersion": "1.31.1"}));
        }], [|s| {
            // Retired, and the cluster's own profile is not to be had: nothing is known.
            s.details.running_version = Some("1.32.1".to_owned());
            set(s, json!({"kubernetesVersion": "1.33.3"}));
        }]),
        example!("version-preview", create, ["aksConfig.kubernetesVersion": |s| set(s, json!({"kubernetesVersion": "1.34.1"}))], []),
    ]
}

fn pools() -> Vec<Example> {
    vec![
        example!("pool-mode", create, ["aksConfig.nodePools[1].mode": |s| set_pool(s, 1, json!({"mode": "Gateway"}))], [|s| set_pool(s, 1, json!({"mode": "user"}))]),
        example!(
            "pool-mode",
            update,
            [],
            [|s| {
                s.upstream.as_mut().unwrap()["nodePools"][1]["mode"] = json!("Gateway");
                set_pool(s, 1, json!({"mode": "Gateway"}));
            }]
        ),
        example!("pool-count", create, [
            "aksConfig.nodePools[0].count": |s| set_pool(s, 0, json!({"count": 0})),
            "aksConfig.nodePools[0].count": |s| set_pool(s, 0, json!({"count": 1001})),
            "aksConfig.nodePools[1].count": |s| set_pool(s, 1, json!({"count": -1, "enableAutoScaling": false, "minCount": null})),
        ], [|s| set_pool(s, 1, json!({"count": 0, "enableAutoScaling": false, "minCount": null}))]),
        example!("pool-scaling", create, [
            "aksConfig.nodePools[1].minCount": |s| set_pool(s, 1, json!({"minCount": null})),
            "aksConfig.nodePools[1].maxCount": |s| set_pool(s, 1, json!({"maxCount": null})),
            "aksConfig.nodePools[1].minCount": |s| set_pool(s, 1, json!({"minCount": 4})),
            "aksConfig.nodePools[0].minCount": |s| set_pool(s, 0, json!({"enableAutoScaling": true, "minCount": 0, "maxCount": 3})),
            "aksConfig.nodePools[1].maxCount": |s| set_pool(s, 1, json!({"maxCount": 1001})),
            "aksConfig.nodePools[1].maxCount": |s| set_pool(s, 1, json!({"minCount": 0, "maxCount": 0})),
            "aksConfig.nodePools[0].maxCount": |s| set_pool(s, 0, json!({"enableAutoScaling": true, "minCount": 1, "maxCount": 0})),
            "aksConfig.nodePools[1].maxCount": |s| set_pool(s, 1, json!({"minCount": 1, "maxCount": -1})),
            "aksConfig.nodePools[1].count": |s| set_pool(s, 1, json!({"count": 4})),
        ], [|s| set_pool(s, 1, json!({"minCount": 0})), |s| set_pool(s, 1, json!({"enableAutoScaling": false, "minCount": null, "maxCount": null}))]),
        example!("pool-scaling", update, [], [|s| set_pool(s, 1, json!({"count": 9}))]),
        example!("pool-scaling-off", create, ["aksConfig.nodePools[1].minCount": |s| set_pool(s, 1, json!({"enableAutoScaling": false}))],
            [|s| set_pool(s, 1, json!({"enableAutoScaling": false, "maxCount": null}))]),
        example!(
            "pool-scaling-off",
            update,
            [],
            [|s| set_pool(s, 1, json!({"enableAutoScaling": false, "minCount": null, "maxCount": null}))]
        ),
        example!("pool-limits", create, [
            "aksConfig.nodePools": |s| set(s, json!({"nodePools": (0..101).map(|n| pool(json!({"name": format!("p{n}")}))).collect::<Vec<_>>()})),
            "aksConfig.nodePools": |s| set(s, json!({"nodePools": (0..6).map(|n| pool(json!({"name": format!("p{n}"), "count": 1000}))).collect::<Vec<_>>()})),
        ], [|s| set(s, json!({"nodePools": (0..5).map(|n| pool(json!({"name": format!("p{n}"), "count": 1000}))).collect::<Vec<_>>()}))]),
        example!("pods-of-a-node", create, [
            "aksConfig.nodePools[1].maxPods": |s| set_pool(s, 1, json!({"maxPods": 9})),
            "aksConfig.nodePools[1].maxPods": |s| set_pool(s, 1, json!({"maxPods": 251})),
        ], [|s| set_pool(s, 1, json!({"maxPods": 10})), |s| set_pool(s, 1, json!({"maxPods": 250}))]),
        example!("pods-of-system-pools", create, ["aksConfig.nodePools[0].maxPods": |s| set_pool(s, 0, json!({"maxPods": 14}))],
            [|s| set_pool(s, 0, json!({"maxPods": 15})), |s| set_pool(s, 1, json!({"maxPods": 10}))]),
        example!("pool-surge", create, [
            "aksConfig.nodePools[1].maxSurge": |s| set_pool(s, 1, json!({"maxSurge": "some"})),
            "aksConfig.nodePools[1].maxSurge": |s| set_pool(s, 1, json!({"maxSurge": "0%"})),
            "aksConfig.nodePools[1].maxSurge": |s| set_pool(s, 1, json!({"maxSurge": "101%"})),
        ], [|s| set_pool(s, 1, json!({"maxSurge": "33%"})), |s| set_pool(s, 1, json!({"maxSurge": ""}))]),
        example!("disk-size", create, [
            "aksConfig.nodePools[1].osDiskSizeGB": |s| set_pool(s, 1, json!({"osDiskSizeGB": 29})),
            "aksConfig.nodePools[1].osDiskSizeGB": |s| set_pool(s, 1, json!({"osDiskSizeGB": 2049})),
        ], [|s| set_pool(s, 1, json!({"osDiskSizeGB": 0})), |s| set_pool(s, 1, json!({"osDiskSizeGB": 30}))]),
        example!("disk-type", create, ["aksConfig.nodePools[1].osDiskType": |s| set_pool(s, 1, json!({"osDiskType": "Floppy"}))],
            [|s| set_pool(s, 1, json!({"osDiskType": "managed"}))]),
    ]
}

fn sizes() -> Vec<Example> {
    vec![
        example!("zone-form", create, [
            "aksConfig.nodePools[1].availabilityZones": |s| set_pool(s, 1, json!({"availabilityZones": ["eastus-1"]})),
            "aksConfig.nodePools[1].availabilityZones": |s| set_pool(s, 1, json!({"availabilityZones": ["1", "1"]})),
        ], [|s| set_pool(s, 1, json!({"availabilityZones": []}))]),
        example!("size-exists", create, ["aksConfig.nodePools[1].vmSize": |s| set_pool(s, 1, json!({"vmSize": "Standard_D4s_v9"}))],
            [|s| set_pool(s, 1, json!({"vmSize": "STANDARD_d4S_v3"}))]),
        example!(
            "size-exists",
            update,
            [],
            [|s| {
                // The size is sold no more; the pool is there.
                s.azure.sizes = Read::Known(vec![]);
                set_pool(s, 1, json!({"maxCount": 4}));
            }]
        ),
        example!("size-usable", create, ["aksConfig.nodePools[0].vmSize": |s| {
            s.azure.sizes = offers(json!([offer(json!({"restrictions": [{"type": "Location", "reasonCode": "NotAvailableForSubscription"}]}))]));
        }], [|s| {
            s.azure.sizes = offers(json!([offer(json!({"restrictions": [{"type": "Zone", "restrictionInfo": {"zones": ["3"]}}]}))]));
        }]),
        example!("size-of-nodes", create, [
            "aksConfig.nodePools[0].vmSize": |s| s.azure.sizes = offers(json!([offer(json!({"capabilities": [{"name": "vCPUs", "value": "1"}]}))])),
            "aksConfig.nodePools[1].vmSize": |s| {
                set_pool(s, 1, json!({"vmSize": "Basic_A4"}));
                s.azure.sizes = offers(json!([offer(json!({})), offer(json!({"name": "Basic_A4"}))]));
            },
        ], [|s| s.azure.sizes = offers(json!([offer(json!({"capabilities": [{"name": "vCPUs", "value": "2"}]}))]))]),
        example!("size-of-system-nodes", create, ["aksConfig.nodePools[0].vmSize": |s| {
            s.azure.sizes = offers(json!([offer(json!({"capabilities": [{"name": "MemoryGB", "value": "3.5"}]}))]));
        }], [|s| s.azure.sizes = offers(json!([offer(json!({"capabilities": [{"name": "MemoryGB", "value": "4"}]}))]))]),
        example!("ephemeral-disk-fits", create, [
            "aksConfig.nodePools[1].osDiskSizeGB": |s| set_pool(s, 1, json!({"osDiskType": "Ephemeral", "osDiskSizeGB": 101})),
            "aksConfig.nodePools[1].osDiskType": |s| {
                set_pool(s, 1, json!({"osDiskType": "ephemeral"}));
                s.azure.sizes = offers(json!([offer(json!({"capabilities": []}))]));
            },
        ], [|s| set_pool(s, 1, json!({"osDiskType": "Ephemeral", "osDiskSizeGB": 100}))]),
        example!("zone-offered", create, [
            "aksConfig.nodePools[1].availabilityZones": |s| set_pool(s, 1, json!({"availabilityZones": ["4"]})),
            "aksConfig.nodePools[0].availabilityZones": |s| {
                s.azure.sizes = offers(json!([offer(json!({"restrictions": [{"type": "Zone", "restrictionInfo": {"zones": ["1"]}}]}))]));
            },
        ], [|s| set_pool(s, 1, json!({"availabilityZones": ["3", "2", "1"]}))]),
        example!("quota", create, [
            "aksConfig.nodePools": |s| s.azure.usages = Read::Known(read(json!([{"name": {"value": "cores"}, "currentValue": 85, "limit": 100}]))),
            "aksConfig.nodePools": |s| s.azure.usages = Read::Known(read(json!([{"name": {"value": "standarddsv3family"}, "currentValue": 0, "limit": 15}]))),
        ], [
            |s| s.azure.usages = Read::Known(read(json!([{"name": {"value": "cores"}, "currentValue": 84, "limit": 100}]))),
        ]),
        example!("quota", update, ["aksConfig.nodePools": |s| {
            set_pool(s, 0, json!({"count": 5}));
            s.azure.usages = Read::Known(read(json!([{"name": {"value": "cores"}, "currentValue": 93, "limit": 100}])));
        }], [|s| {
            set_pool(s, 0, json!({"count": 3}));
            s.azure.usages = Read::Known(read(json!([{"name": {"value": "cores"}, "currentValue": 96, "limit": 100}])));
        }, |s| {
            set_pool(s, 1, json!({"maxCount": 5}));
            s.azure.usages = Read::Known(read(json!([{"name": {"value": "cores"}, "currentValue": 100, "limit": 100}])));
        }]),
        example!("quota-of-autoscaling", create, [
            "aksConfig.nodePools": |s| s.azure.usages = Read::Known(read(json!([{"name": {"value": "cores"}, "currentValue": 81, "limit": 100}]))),
        ], [|s| s.azure.usages = Read::Known(read(json!([{"name": {"value": "cores"}, "currentValue": 80, "limit": 100}])))]),
        example!("quota-of-autoscaling", update, ["aksConfig.nodePools": |s| {
            set_pool(s, 1, json!({"maxCount": 5}));
            s.azure.usages = Read::Known(read(json!([{"name": {"value": "cores"}, "currentValue": 93, "limit": 100}])));
        }], [|s| {
            set_pool(s, 1, json!({"maxCount": 4}));
            s.azure.usages = Read::Known(read(json!([{"name": {"value": "cores"}, "currentValue": 96, "limit": 100}])));
        }]),
    ]
}

const ZONE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/sub.privatelink.eastus.azmk8s.io";
const IDENTITY: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";

fn security() -> Vec<Example> {
    vec![
        example!("authorized-ranges", create, [
            "aksConfig.authorizedIpRanges": |s| set(s, json!({"authorizedIpRanges": ["example.com"]})),
            "aksConfig.authorizedIpRanges": |s| set(s, json!({"authorizedIpRanges": ["2001:db8::/32"]})),
        ], [|s| set(s, json!({"authorizedIpRanges": ["203.0.113.7", "0.0.0.0/32"]}))]),
        example!("authorized-ranges-count", create, ["aksConfig.authorizedIpRanges": |s| {
            set(s, json!({"authorizedIpRanges": (0..201).map(|n| format!("203.0.113.{n}/32")).collect::<Vec<_>>()}));
        }], []),
        example!("authorized-ranges-public", create, ["aksConfig.authorizedIpRanges": |s| set(s, json!({"authorizedIpRanges": ["10.0.0.0/8"]}))], []),
        example!("authorized-ranges-private-cluster", create, ["aksConfig.authorizedIpRanges": |s| set(s, json!({"privateCluster": true}))],
            [|s| set(s, json!({"privateCluster": true, "authorizedIpRanges": []}))]),
        example!("private-dns-zone", create, [
            "aksConfig.privateDnsZone": |s| set(s, json!({"privateDnsZone": "mine"})),
            "aksConfig.privateDnsZone": |s| set(s, json!({"privateDnsZone": ZONE.replace("eastus", "westus")})),
            "aksConfig.privateDnsZone": |s| set(s, json!({"privateDnsZone": ZONE.replace("sub.", "sub")})),
            // Each cloud has names of its own.
            "aksConfig.privateDnsZone": |s| set(s, json!({"resourceLocation": "usgovvirginia", "privateDnsZone": ZONE.replace("eastus", "usgovvirginia")})),
            "aksConfig.privateDnsZone": |s| set(s, json!({"privateDnsZone": ZONE.replace("azmk8s.io", "cx.aks.containerservice.azure.us")})),
        ], [|s| set(s, json!({"privateDnsZone": "System"})), |s| set(s, json!({"privateDnsZone": ZONE.to_uppercase()})),
            |s| set(s, json!({"resourceLocation": "usgovvirginia",
                "privateDnsZone": ZONE.replace("eastus.azmk8s.io", "usgovvirginia.cx.aks.containerservice.azure.us")})),
            |s| set(s, json!({"resourceLocation": "chinanorth3",
                "privateDnsZone": ZONE.replace("eastus.azmk8s.io", "chinanorth3.cx.prod.service.azk8s.cn")})),
            |s| set(s, json!({"privateDnsZone": ZONE.replace("sub.privatelink", "private")}))]),
        example!("private-dns-zone-identity", create, ["aksConfig.privateDnsZone": |s| set(s, json!({"privateCluster": true, "privateDnsZone": ZONE}))],
            [|s| set(s, json!({"privateCluster": true, "privateDnsZone": ZONE, "managedIdentity": true, "userAssignedIdentity": IDENTITY})),
                |s| set(s, json!({"privateCluster": true, "privateDnsZone": "none"}))]),
        example!("private-dns-zone-unused", create, ["aksConfig.privateDnsZone": |s| set(s, json!({"privateDnsZone": "system"}))],
            [|s| set(s, json!({"privateDnsZone": "system", "privateCluster": true}))]),
        example!("identity-id", create, ["aksConfig.userAssignedIdentity": |s| set(s, json!({"userAssignedIdentity": "me"}))],
            [|s| set(s, json!({"userAssignedIdentity": IDENTITY.to_uppercase()}))]),
        example!("identity-unused", create, ["aksConfig.userAssignedIdentity": |s| set(s, json!({"userAssignedIdentity": IDENTITY, "managedIdentity": false}))],
            [|s| set(s, json!({"userAssignedIdentity": IDENTITY}))]),
        example!("admin-name", create, ["aksConfig.linuxAdminUsername": |s| set(s, json!({"linuxAdminUsername": "1a"}))], []),
        example!("ssh-key", create, [
            "aksConfig.sshPublicKey": |s| set(s, json!({"sshPublicKey": "AAAAB3NzaC1yc2EAAAADAQABAAABgQC0"})),
            "aksConfig.sshPublicKey": |s| set(s, json!({"sshPublicKey": "ssh-ed25519 AAAAB3NzaC1yc2EAAAADAQABAAABgQC0"})),
            "aksConfig.sshPublicKey": |s| set(s, json!({"sshPublicKey": "-----BEGIN PUBLIC KEY-----"})),
            "aksConfig.sshPublicKey": |s| set(s, json!({"sshPublicKey": "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY="})),
        ], [|s| set(s, json!({"sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\n"}))]),
        example!("ssh-key-unused", create, ["aksConfig.sshPublicKey": |s| unset(s, &["linuxAdminUsername"])], [|s| unset(s, &["sshPublicKey"])]),
        example!("http-routing-retired", create, ["aksConfig.httpApplicationRouting": |s| set(s, json!({"httpApplicationRouting": true}))],
            [|s| set(s, json!({"httpApplicationRouting": false}))]),
    ]
}

/// Makes the cluster an import of what is there.
fn imported(situation: &mut Situation) {
    for spec in [Some(&mut situation.spec), situation.stored.as_mut()].into_iter().flatten() {
        spec["imported"] = json!(true);
    }
}

fn found_in(situation: &mut Situation, region: &str) {
    let spec: AksConfig = read(json!({"resourceLocation": region}));
    situation.azure.cluster = Read::Known(Some(ExistingCluster { spec, ..ExistingCluster::default() }));
}

fn imports() -> Vec<Example> {
    vec![
        example!("region-matches", import, ["aksConfig.resourceLocation": |s| found_in(s, "westeurope")],
            [|s| found_in(s, "East US")]),
        example!("region-matches", update, [
            "aksConfig.resourceLocation": |s| s.upstream.as_mut().unwrap()["resourceLocation"] = json!("westeurope"),
        ], [|s| s.upstream.as_mut().unwrap()["resourceLocation"] = json!("EAST-US")]),
        example!("region-matches", create, [], [|s| found_in(s, "westeurope")]),
        example!("entries-stay", update, [
            "aksConfig.authorizedIpRanges": |s| {
                imported(s);
                set(s, json!({"authorizedIpRanges": []}));
            },
            "aksConfig.tags": |s| {
                imported(s);
                set(s, json!({"tags": {"other": "b"}}));
            },
            "aksConfig.nodePools[1].nodeLabels": |s| {
                imported(s);
                set_pool(s, 1, json!({"nodeLabels": {}}));
            },
            "aksConfig.nodePools[0].nodeTaints": |s| {
                imported(s);
                set_pool(s, 0, json!({"nodeTaints": []}));
            },
        ], [
            |s| set(s, json!({"authorizedIpRanges": []})),
            imported,
            |s| {
                imported(s);
                s.named.ranges = ["203.0.113.0/24".to_owned()].into();
                set(s, json!({"authorizedIpRanges": []}));
            },
            |s| {
                imported(s);
                unset(s, &["authorizedIpRanges", "tags"]);
            },
        ]),
    ]
}

fn existing() -> Vec<Example> {
    vec![
        example!("credential-refused", create, [
            "aksConfig.azureCredentialSecret": |s| s.azure.denial = Some(denial(DenialKind::Credential, "AADSTS7000222: The provided client secret keys are expired", "make a new secret", false)),
        ], []),
        example!("credential-refused", update, [
            "aksConfig.azureCredentialSecret": |s| s.azure.denial = Some(denial(DenialKind::Credential, "x", "y", true)),
        ], []),
        example!("subscription-usable", create, [
            "aksConfig.azureCredentialSecret": |s| s.azure.subscription = Read::Known(Subscription { state: Some("Disabled".to_owned()) }),
            "aksConfig.azureCredentialSecret": |s| s.azure.subscription = Read::Known(Subscription { state: Some("warned".to_owned()) }),
            "aksConfig.azureCredentialSecret": |s| s.azure.denial = Some(denial(DenialKind::Subscription, "SubscriptionNotFound", "check it", true)),
        ], [
            |s| s.azure.subscription = Read::Known(Subscription { state: Some("PastDue".to_owned()) }),
            |s| s.azure.subscription = Read::Known(Subscription { state: None }),
        ]),
        example!("subscription-usable", import, [
            "aksConfig.azureCredentialSecret": |s| s.azure.subscription = Read::Known(Subscription { state: Some("Disabled".to_owned()) }),
        ], []),
        example!("role-assigned", create, [
            "aksConfig.azureCredentialSecret": |s| s.azure.permissions = Read::Known(permissions(&["*/read"])),
            "aksConfig.azureCredentialSecret": |s| {
                let mut permissions = permissions(&["Microsoft.ContainerService/*"]);
                permissions.group_exists = false;
                s.azure.permissions = Read::Known(permissions);
            },
            "aksConfig.azureCredentialSecret": |s| s.azure.denial = Some(denial(DenialKind::Role, "AuthorizationFailed", "give it a role", true)),
        ], [
            |s| s.azure.permissions = Read::Known(permissions(&["Microsoft.ContainerService/*"])),
            |s| s.azure.permissions = Read::Known(Permissions { roles: Vec::new(), ..permissions(&[]) }),
        ]),
        example!("provider-registered", create, [
            "aksConfig.azureCredentialSecret": |s| s.azure.provider =
                Read::Known(ProviderState { registered: false, subscription_roles: Some(roles(&["*/read"])) }),
        ], [
            |s| s.azure.provider = Read::Known(ProviderState { registered: false, subscription_roles: Some(roles(&["*"])) }),
            |s| s.azure.provider = Read::Known(ProviderState { registered: false, subscription_roles: None }),
        ]),
        example!("cluster-new", create, ["aksConfig.clusterName": |s| s.azure.cluster = Read::Known(Some(ExistingCluster::default()))], []),
        example!("node-resource-group-new", create, ["aksConfig.nodeResourceGroup": |s| s.azure.node_group = Read::Known(true)], []),
        example!("import-exists", import, ["aksConfig.clusterName": |s| s.azure.cluster = Read::Known(None)], []),
        example!("import-local-accounts", import, ["aksConfig.clusterName": |s| {
            s.azure.cluster = Read::Known(Some(ExistingCluster { local_accounts_disabled: true, ..ExistingCluster::default() }));
        }], []),
    ]
}

fn changes() -> Vec<Example> {
    vec![
        example!("fixed-in-azure", update, [
            "aksConfig.dnsPrefix": |s| set(s, json!({"dnsPrefix": "other"})),
            "aksConfig.dnsServiceIp": |s| set(s, json!({"dnsServiceIp": "10.1.0.11"})),
            "aksConfig.networkPlugin": |s| set(s, json!({"networkPlugin": "kubenet"})),
            "aksConfig.nodeResourceGroup": |s| set(s, json!({"nodeResourceGroup": "other"})),
            "aksConfig.serviceCidr": |s| set(s, json!({"serviceCidr": "10.1.0.0/17"})),
            "aksConfig.subnet": |s| set(s, json!({"subnet": "other"})),
            "aksConfig.virtualNetwork": |s| set(s, json!({"virtualNetwork": "other"})),
            "aksConfig.virtualNetworkResourceGroup": |s| set(s, json!({"virtualNetworkResourceGroup": "other"})),
            "aksConfig.privateCluster": |s| set(s, json!({"privateCluster": true})),
            "aksConfig.privateCluster": |s| {
                s.stored.as_mut().unwrap()["privateCluster"] = json!(true);
                s.upstream.as_mut().unwrap()["privateCluster"] = json!(true);
                set(s, json!({"privateCluster": false}));
            },
            // What only Azure says counts as well.
            "aksConfig.podCidr": |s| set(s, json!({"podCidr": "10.9.0.0/16"})),
            "aksConfig.linuxAdminUsername": |s| set(s, json!({"linuxAdminUsername": "other"})),
            // Taken back what never had an effect.
            "aksConfig.subnet": |s| {
                in_managed_network(s);
                set(s, json!({"subnet": "other"}));
            },
        ], [
            // What Azure has is never wrong, whatever is stored.
            |s| {
                s.stored.as_mut().unwrap()["serviceCidr"] = json!("10.9.0.0/16");
            },
            |s| {
                s.details.node_resource_group = Some("MC_rg_shop_eastus".to_owned());
                never_had(s, &["nodeResourceGroup"]);
                set(s, json!({"nodeResourceGroup": "mc_rg_shop_eastus"}));
            },
            |s| {
                never_had(s, &["virtualNetwork", "virtualNetworkResourceGroup", "subnet"]);
                set(s, json!({"virtualNetwork": "NET", "virtualNetworkResourceGroup": "rg-net", "subnet": "nodes"}));
            },
            |s| set(s, json!({"dnsPrefix": "SHOP", "virtualNetwork": "NET", "networkPlugin": "AZURE"})),
            |s| set(s, json!({"dnsPrefix": "", "subnet": "", "podCidr": ""})),
            |s| unset(s, &["dnsPrefix", "serviceCidr", "virtualNetwork", "subnet", "privateCluster"]),
            |s| {
                s.stored.as_mut().unwrap()["dockerBridgeCidr"] = json!("172.17.0.1/16");
                set(s, json!({"dockerBridgeCidr": "172.18.0.1/16"}));
            },
            |s| {
                // Not there yet: everything may still change.
                s.upstream = None;
                set(s, json!({"dnsPrefix": "other", "privateCluster": true, "authorizedIpRanges": []}));
            },
            |s| {
                s.upstream = None;
                s.azure.cluster = Read::Known(Some(ExistingCluster { spec: read(new_cluster()), failed: true, ..ExistingCluster::default() }));
                set(s, json!({"dnsPrefix": "other"}));
            },
        ]),
        example!("fixed-in-azure-pool", update, [
            "aksConfig.nodePools[1].vmSize": |s| set_pool(s, 1, json!({"vmSize": "Standard_D8s_v3"})),
            "aksConfig.nodePools[0].osDiskSizeGB": |s| set_pool(s, 0, json!({"osDiskSizeGB": 128})),
            "aksConfig.nodePools[0].osDiskType": |s| set_pool(s, 0, json!({"osDiskType": "Ephemeral"})),
            "aksConfig.nodePools[0].osType": |s| set_pool(s, 0, json!({"osType": "Windows"})),
            "aksConfig.nodePools[0].maxPods": |s| set_pool(s, 0, json!({"maxPods": 110})),
            "aksConfig.nodePools[0].vnetSubnetID": |s| {
                set_pool(s, 0, json!({"vnetSubnetID": "/subscriptions/sub/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/net/subnets/x"}));
            },
            // A cluster that is there although nothing was brought about yet.
            "aksConfig.nodePools[1].vmSize": |s| {
                s.upstream = None;
                s.azure.cluster = Read::Known(Some(ExistingCluster { spec: read(new_cluster()), ..ExistingCluster::default() }));
                set_pool(s, 1, json!({"vmSize": "Standard_D8s_v3"}));
            },
        ], [
            |s| set_pool(s, 1, json!({"vmSize": "standard_d4s_V3", "osDiskType": "managed", "osType": "linux"})),
            |s| s.spec["nodePools"][1] = json!({"name": "user", "vmSize": "", "osDiskSizeGB": 0}),
            |s| set_pool(s, 1, json!({"name": "other", "vmSize": "Standard_D8s_v3"})),
            |s| {
                s.upstream = None;
                set_pool(s, 1, json!({"vmSize": "Standard_D8s_v3"}));
            },
        ]),
        example!("fixed-zones", update, ["aksConfig.nodePools[1].availabilityZones": |s| set_pool(s, 1, json!({"availabilityZones": ["1"]}))],
            [|s| set_pool(s, 1, json!({"availabilityZones": ["2", "1"]})), |s| set_pool(s, 1, json!({"availabilityZones": []}))]),
    ]
}

fn unmanaged_changes() -> Vec<Example> {
    vec![example!("not-managed", update, [
        "aksConfig.networkPolicy": |s| set(s, json!({"networkPolicy": "azure"})),
        "aksConfig.outboundType": |s| set(s, json!({"outboundType": "userDefinedRouting"})),
        "aksConfig.loadBalancerSku": |s| set(s, json!({"loadBalancerSku": "Basic"})),
        "aksConfig.sshPublicKey": |s| set(s, json!({"sshPublicKey": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC1"})),
        "aksConfig.managedIdentity": |s| set(s, json!({"managedIdentity": false})),
        "aksConfig.logAnalyticsWorkspaceName": |s| set(s, json!({"logAnalyticsWorkspaceName": "other"})),
        "aksConfig.privateDnsZone": |s| {
            s.stored.as_mut().unwrap()["privateDnsZone"] = json!("system");
            set(s, json!({"privateDnsZone": "none"}));
        },
        "aksConfig.userAssignedIdentity": |s| {
            s.upstream.as_mut().unwrap()["userAssignedIdentity"] = json!(IDENTITY);
            set(s, json!({"userAssignedIdentity": format!("{IDENTITY}2")}));
        },
    ], [
        |s| set(s, json!({"networkPolicy": "Calico", "outboundType": "LOADBALANCER", "loadBalancerSku": "standard"})),
        |s| set(s, json!({"networkPolicy": "", "sshPublicKey": ""})),
        |s| {
            never_had(s, &["networkPolicy"]);
            s.upstream.as_mut().unwrap()["networkPolicy"] = json!("none");
            set(s, json!({"networkPolicy": "none"}));
        },
        |s| {
            s.stored.as_mut().unwrap().as_object_mut().unwrap().remove("managedIdentity");
            set(s, json!({"managedIdentity": false}));
        },
        |s| {
            s.stored.as_mut().unwrap()["monitoring"] = json!(false);
            set(s, json!({"logAnalyticsWorkspaceName": "other"}));
        },
    ])]
}

/// Takes keys away from what was there before.
fn never_had(situation: &mut Situation, keys: &[&str]) {
    for before in [&mut situation.stored, &mut situation.upstream].into_iter().flatten() {
        for key in keys {
            before.as_object_mut().unwrap().remove(*key);
        }
    }
}

/// The same for a pool.
fn pool_never_had(situation: &mut Situation, index: usize, key: &str) {
    for before in [&mut situation.stored, &mut situation.upstream].into_iter().flatten() {
        before["nodePools"][index].as_object_mut().unwrap().remove(key);
    }
}

fn late() -> Vec<Example> {
    vec![example!("set-too-late", update, [
        "aksConfig.networkPolicy": |s| never_had(s, &["networkPolicy"]),
        "aksConfig.linuxAdminUsername": |s| never_had(s, &["linuxAdminUsername", "sshPublicKey"]),
        "aksConfig.sshPublicKey": |s| never_had(s, &["linuxAdminUsername", "sshPublicKey"]),
        "aksConfig.nodeResourceGroup": |s| never_had(s, &["nodeResourceGroup"]),
        "aksConfig.managedIdentity": |s| never_had(s, &["managedIdentity"]),
        "aksConfig.podCidr": |s| {
            never_had(s, &["podCidr"]);
            set(s, json!({"podCidr": "10.244.0.0/16"}));
        },
        "aksConfig.virtualNetwork": |s| {
            never_had(s, &["virtualNetwork", "virtualNetworkResourceGroup", "subnet"]);
            in_managed_network(s);
        },
        "aksConfig.networkPolicy": |s| {
            never_had(s, &["networkPolicy"]);
            s.upstream.as_mut().unwrap()["networkPolicy"] = json!("none");
        },
        // An import as well.
        "aksConfig.networkPolicy": |s| {
            never_had(s, &["networkPolicy"]);
            s.stored.as_mut().unwrap()["imported"] = json!(true);
            set(s, json!({"imported": true}));
        },
        "aksConfig.privateDnsZone": |s| set(s, json!({"privateDnsZone": "system"})),
        "aksConfig.userAssignedIdentity": |s| set(s, json!({"userAssignedIdentity": IDENTITY})),
        "aksConfig.nodePools[1].availabilityZones": |s| pool_never_had(s, 1, "availabilityZones"),
        "aksConfig.nodePools[0].vnetSubnetID": |s| {
            pool_never_had(s, 0, "vnetSubnetID");
            set_pool(s, 0, json!({"vnetSubnetID": "/subscriptions/SUB/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/net/subnets/nodes"}));
        },
    ], [
        // Nothing new is said, or nothing at all.
        |s| {
            never_had(s, &["networkPolicy", "nodeResourceGroup"]);
            set(s, json!({"networkPolicy": "", "nodeResourceGroup": ""}));
        },
        |s| {
            never_had(s, &["managedIdentity"]);
            set(s, json!({"managedIdentity": false}));
        },
        |s| s.upstream.as_mut().unwrap()["networkPolicy"] = json!(""),
        |s| set(s, json!({"dockerBridgeCidr": "172.17.0.1/16"})),
        |s| {
            pool_never_had(s, 1, "availabilityZones");
            set_pool(s, 1, json!({"availabilityZones": []}));
        },
        // Not there yet; a pool that is new; a cluster that was not made here.
        |s| {
            s.upstream = None;
            s.stored.as_mut().unwrap().as_object_mut().unwrap().remove("networkPolicy");
        },
        |s| set_pool(s, 1, json!({"name": "other"})),
        // What is managed may come later.
        |s| never_had(s, &["tags", "authorizedIpRanges", "monitoring", "logAnalyticsWorkspaceGroup", "logAnalyticsWorkspaceName"]),
    ])]
}

fn no_effect() -> Vec<Example> {
    vec![example!("without-effect", update, [
            "aksConfig.virtualNetwork": |s| in_managed_network(s),
            "aksConfig.networkPolicy": |s| s.upstream.as_mut().unwrap()["networkPolicy"] = json!("none"),
            "aksConfig.nodeResourceGroup": |s| {
                s.upstream.as_mut().unwrap().as_object_mut().unwrap().remove("nodeResourceGroup");
                s.details.node_resource_group = Some("MC_rg_shop_eastus".to_owned());
            },
            "aksConfig.nodePools[1].availabilityZones": |s| {
                s.upstream.as_mut().unwrap()["nodePools"][1]["availabilityZones"] = json!([]);
            },
            "aksConfig.dockerBridgeCidr": |s| set(s, json!({"dockerBridgeCidr": "172.17.0.1/16"})),
        ], [|s| {
            s.stored.as_mut().unwrap()["dockerBridgeCidr"] = json!("172.17.0.1/16");
            set(s, json!({"dockerBridgeCidr": "172.17.0.1/16"}));
        }, |s| unset(s, &["virtualNetwork", "networkPolicy"])])]
}

#[test]
fn a_stored_value_without_effect_does_not_stand_in_the_way() {
    let review = Situation::update()
        .with(|s| {
            in_managed_network(s);
            s.upstream.as_mut().unwrap()["networkPolicy"] = json!("none");
            set(s, json!({"tags": {"team": "b"}}));
        })
        .review();
    assert_eq!(review.first_error(), None, "{review:#?}");
    let warned: Vec<_> = review.findings.iter().map(|it| (it.rule.as_str(), it.severity)).collect();
    assert_eq!(warned, [("without-effect", Severity::Warning); 4], "{review:#?}");
}

#[test]
fn what_azure_runs_is_never_found_fault_with() {
    // An overlay with cilium, UDR and kubenet, a plugin of one's own: all made elsewhere.
    for (keys, said) in [
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
        let mut import = Situation::update();
        import.imported = true;
        let upstream = import.upstream.as_mut().unwrap().as_object_mut().unwrap();
        upstream.extend(keys.as_object().unwrap().clone());
        upstream.insert("clusterName".to_owned(), json!("theirs"));
        let values: serde_json::Map<_, _> =
            said.iter().map(|key| ((*key).to_owned(), upstream[*key].clone())).collect();
        let mut spec = Situation::import().spec;
        import.stored = Some(spec.clone());
        spec.as_object_mut().unwrap().extend(values);
        spec["nodePools"] = import.upstream.as_ref().unwrap()["nodePools"].clone();
        import.spec = spec;
        let found = import.review();
        let matters: Vec<_> = found.findings.iter().filter(|it| it.severity != Severity::Advice).collect();
        assert!(matters.is_empty(), "{keys}: {matters:#?}");
    }
}

#[test]
fn a_region_may_be_mended_until_the_cluster_is_in_azure() {
    let moved = |s: &mut Situation| set(s, json!({"resourceLocation": "westus2"}));
    let review = Situation::update().with(moved).review();
    assert_eq!(review.first_error().unwrap().field, "aksConfig.resourceLocation");
    let unmade = |s: &mut Situation| {
        s.upstream = None;
        s.azure.regions = Read::Known(read(json!([{"name": "westus2"}])));
        networks(
            s,
            json!({"name": "Net", "location": "westus2", "properties": {"subnets": [{"name": "nodes", "properties": {"addressPrefix": "10.40.0.0/16"}}]}}),
        );
        moved(s);
    };
    assert_eq!(Situation::update().with(unmade).review().first_error(), None);
    let unknown = Situation::update().with(|s| {
        unmade(s);
        s.azure.regions = Read::Known(read(json!([{"name": "eastus"}])));
    });
    assert_eq!(unknown.review().first_error().unwrap().rule, "region-exists");
    // What Azure says is right, whatever is stored.
    let corrected = Situation::update().with(|s| {
        s.details.region = Some("westus2".to_owned());
        moved(s);
    });
    assert_eq!(corrected.review().first_error(), None);
}

#[test]
fn a_credential_cannot_be_taken_away() {
    for start in [Situation::update, Situation::import] {
        for empty in [json!(""), Value::Null] {
            let review = start().with(|s| set(s, json!({"azureCredentialSecret": empty}))).review();
            assert_eq!(review.first_error().unwrap().field, "aksConfig.azureCredentialSecret", "{review:#?}");
        }
    }
}

fn identity() -> Vec<Example> {
    vec![example!("fixed-identity", update, [
            "aksConfig.clusterName": |s| set(s, json!({"clusterName": "other"})),
            "aksConfig.resourceGroup": |s| set(s, json!({"resourceGroup": "other"})),
            "aksConfig.resourceLocation": |s| set(s, json!({"resourceLocation": "westus"})),
            "aksConfig.imported": |s| set(s, json!({"imported": true})),
        ], [|s| set(s, json!({"clusterName": "SHOP", "resourceGroup": "", "imported": false}))])]
}

fn unknown_fields() -> Vec<Example> {
    vec![example!("unknown-field", create, [
            "aksConfig.nodePools[0].cuont": |s| s.unknown = vec![misspelt("aksConfig.nodePools[0]", "cuont")],
            "aksConfig.colour": |s| s.unknown = vec![misspelt("aksConfig", "colour")],
        ], [])]
}

fn misspelt(place: &str, key: &str) -> UnknownField {
    UnknownField::new(place, key, ["count", "vmSize"].into_iter())
}

fn advice() -> Vec<Example> {
    vec![
        example!("advice-azure-cni", create, ["aksConfig.networkPlugin": |s| set(s, json!({"networkPlugin": "kubenet"}))], []),
        example!("advice-api-access", create, ["aksConfig.authorizedIpRanges": |s| set(s, json!({"authorizedIpRanges": []}))],
            [|s| set(s, json!({"authorizedIpRanges": [], "privateCluster": true}))]),
        example!("advice-separate-pools", create, ["aksConfig.nodePools": |s| set_pool(s, 1, json!({"mode": "System"}))], []),
        example!("advice-autoscaling", create, ["aksConfig.nodePools": |s| set_pool(s, 1, json!({"enableAutoScaling": false}))], []),
        example!("advice-zones", create, ["aksConfig.nodePools[1].availabilityZones": |s| set_pool(s, 1, json!({"availabilityZones": []}))], [|s| {
            set_pool(s, 1, json!({"availabilityZones": []}));
            s.azure.sizes = offers(json!([offer(json!({"locationInfo": [{"zones": []}]}))]));
        }]),
        example!("advice-managed-identity", create, ["aksConfig.managedIdentity": |s| unset(s, &["managedIdentity"])], []),
        example!("advice-monitoring", create, ["aksConfig.monitoring": |s| set(s, json!({"monitoring": false}))], []),
        example!("advice-size", create, [
            "aksConfig.nodePools[0].vmSize": |s| s.azure.sizes = offers(json!([offer(json!({"capabilities": [{"name": "vCPUs", "value": "2"}]}))])),
            "aksConfig.nodePools[0].vmSize": |s| s.azure.sizes = offers(json!([offer(json!({"family": "standardBSFamily"}))])),
        ], []),
        example!("advice-spot", create, ["aksConfig.nodePools[1].vmSize": |s| set_pool(s, 1, json!({"minCount": 0}))], [|s| {
            set_pool(s, 1, json!({"minCount": 0}));
            s.azure.sizes = offers(json!([offer(json!({"capabilities": []}))]));
        }]),
        example!("advice-secret-age", create, ["aksConfig.azureCredentialSecret": |s| s.facts.credential_changed_ms = Some(819 * DAY_MS)],
            [|s| s.facts.credential_changed_ms = Some(820 * DAY_MS), |s| s.facts.credential_changed_ms = None]),
        example!("advice-ssh-key-age", update, ["aksConfig.sshPublicKey": |s| s.facts.cluster_created_ms = Some(634 * DAY_MS)],
            [|s| s.facts.cluster_created_ms = Some(635 * DAY_MS)]),
    ]
}

fn examples() -> Vec<Example> {
    [
        required(),
        combinations(),
        names(),
        metadata(),
        network_ranges(),
        own_networks(),
        address_counts(),
        versions(),
        pools(),
        sizes(),
        security(),
        existing(),
        imports(),
        changes(),
        unmanaged_changes(),
        late(),
        no_effect(),
        unknown_fields(),
        identity(),
        advice(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_rule_finds_what_breaks_it_and_nothing_else() {
    for example in examples() {
        let rule = rules().find(|rule| rule.name == example.rule).expect(example.rule);
        assert_eq!((example.start)().fields(rule.name), [""; 0], "{}: as it stands", rule.name);
        for (index, (field, change)) in example.breaks.iter().enumerate() {
            let review = (example.start)().with(change).review();
            let found: Vec<_> = review.findings.iter().filter(|it| it.rule == rule.name).collect();
            let named = found.iter().any(|finding| finding.field == *field);
            assert!(named, "{} {index} should name {field}: {review:#?}", rule.name);
            for finding in found {
                assert_eq!(finding.rests_on_azure, rule.rests_on_azure, "{}", rule.name);
                assert!(
                    finding.source == rule.source || changes::RULES.iter().any(|it| it.name == rule.name)
                );
            }
        }
        for (index, change) in example.keeps.iter().enumerate() {
            let situation = (example.start)().with(change);
            assert_eq!(situation.fields(rule.name), [""; 0], "{} should be kept by {index}", rule.name);
        }
    }
}

#[test]
fn every_rule_has_an_example_that_breaks_it() {
    let examples = examples();
    let broken: BTreeSet<_> =
        examples.iter().filter(|it| !it.breaks.is_empty()).map(|example| example.rule).collect();
    let all: BTreeSet<_> = rules().map(|rule| rule.name).collect();
    assert_eq!(broken, all);
    assert_eq!(rules().count(), all.len(), "names are given once");
}

/// A heading of the contract, which `tests/it/readme.rs` resolves, or a title with its URL.
fn is_public_source(source: &str) -> bool {
    if let Some(reference) = source.strip_prefix("docs/contract/") {
        return reference.split_once(".md#").is_some_and(|(page, heading)| {
            let is_name = |name: &str| !name.is_empty() && !name.contains([' ', '/', '.', '#']);
            is_name(page) && is_name(heading)
        });
    }
    let url = source.rsplit(' ').next().unwrap_or_default();
    ["https://learn.microsoft.com/", "https://github.com/Azure/AKS/issues/"]
        .iter()
        .any(|site| url.len() > site.len() && url.starts_with(site))
}

#[test]
fn rules_and_their_findings_are_well_formed() {
    for rule in rules() {
        assert!(rule.name.bytes().all(|it| it.is_ascii_lowercase() || it == b'-'), "{}", rule.name);
        assert!(is_public_source(rule.source), "{}: {}", rule.name, rule.source);
        assert!(!rule.source.contains("  "), "{}", rule.source);
        assert_eq!(rule.severity == Severity::Advice, rule.name.starts_with("advice-"), "{}", rule.name);
    }
    for example in examples() {
        for (_, change) in example.breaks {
            for finding in (example.start)().with(change).review().findings {
                let (message, remedy) = (&finding.message, &finding.remedy);
                assert!(finding.field.starts_with("aksConfig."), "{finding:?}");
                assert!(is_public_source(&finding.source), "{finding:?}");
                assert!(!message.is_empty() && !message.ends_with(['.', ' ', ',']), "{message}");
                assert!(!remedy.is_empty() && !remedy.ends_with(['.', ' ', ',']), "{remedy}");
                assert!(!message.contains("  ") && !remedy.contains("  "), "{message}: {remedy}");
                assert!(!message.contains('\n'), "{message}");
            }
        }
    }
}

#[test]
fn a_good_cluster_gets_through_without_a_word() {
    for situation in [Situation::create(), Situation::update(), Situation::import()] {
        assert_eq!(situation.review(), Review::default(), "{}", situation.spec);
    }
}

fn dashboard() -> Value {
    json!({
        "imported": false, "linuxAdminUsername": "azureuser", "loadBalancerSku": "Standard", "networkPlugin": "kubenet",
        "outboundType": "LoadBalancer", "privateCluster": false, "serviceCidr": "10.0.0.0/16", "dnsServiceIp": "10.0.0.10",
        "dockerBridgeCidr": "172.17.0.1/16", "tags": {}, "clusterName": "shop", "resourceGroup": "rg", "resourceLocation": "eastus",
        "azureCredentialSecret": "cattle-global-data:cc-1", "dnsPrefix": "shop-dns", "kubernetesVersion": "1.32.7",
        "nodePools": [{"name": "agentpool", "count": 1, "maxPods": 110, "maxSurge": "1", "mode": "System", "osDiskSizeGB": 128,
            "osDiskType": "Managed", "osType": "Linux", "vmSize": "Standard_D4s_v3", "availabilityZones": ["1", "2", "3"],
            "enableAutoScaling": false, "nodeLabels": {}, "nodeTaints": [], "orchestratorVersion": "1.32.7"}],
    })
}

fn terraform_minimal() -> Value {
    json!({
        "azureCredentialSecret": "cattle-global-data:cc-1", "clusterName": "tfs-mini", "dnsPrefix": "tfs-mini", "kubernetesVersion": "1.32.7",
        "httpApplicationRouting": false, "monitoring": false, "networkPlugin": "kubenet", "outboundType": "loadBalancer",
        "privateCluster": false, "resourceGroup": "tfs-group", "resourceLocation": "eastus",
        "nodePools": [{"availabilityZones": [], "count": 1, "enableAutoScaling": false, "maxPods": 110, "mode": "System", "name": "agentpool",
            "orchestratorVersion": "", "osDiskSizeGB": 128, "osDiskType": "Managed", "osType": "Linux", "vmSize": "Standard_D4s_v3"}],
    })
}

#[test]
fn what_the_dashboard_and_terraform_send_is_not_held_up() {
    for spec in [dashboard(), terraform_minimal()] {
        let review = Situation::create().with(|it| it.spec = spec.clone()).review();
        let held: Vec<_> = review.findings.iter().filter(|it| it.severity != Severity::Advice).collect();
        assert!(held.is_empty() && review.unchecked.is_empty(), "{spec}: {review:#?}");
        assert!(!review.findings.is_empty(), "kubenet, for one, could be better");
    }
}

#[test]
fn without_azure_only_rules_about_the_specification_block_and_the_others_are_named() {
    let broken = |s: &mut Situation| {
        set(s, json!({"dnsPrefix": "a_b", "kubernetesVersion": "1.32.99"}));
        s.azure = AzureData::unknown("no answer");
    };
    let review = Situation::create().with(broken).review();
    let errors: Vec<_> = review.findings.iter().filter(|it| it.severity == Severity::Error).collect();
    assert_eq!(errors.iter().map(|it| it.rule.as_str()).collect::<Vec<_>>(), ["dns-prefix"], "{errors:#?}");
    let unchecked: BTreeSet<_> = review.unchecked.iter().map(|it| it.rule.as_str()).collect();
    let of_new = |rule: &&Rule| !rule.needs.is_empty() && matches!(rule.scope, Scope::Own | Scope::New);
    assert_eq!(unchecked, rules().filter(of_new).map(|rule| rule.name).collect());
    let sentence = review.unchecked_sentence().unwrap();
    assert!(sentence.starts_with("not checked against Azure: region-exists, "), "{sentence}");
    assert!(sentence.ends_with(" (no answer)"), "{sentence}");
    assert_eq!(Situation::create().review().unchecked_sentence(), None);
}

#[test]
fn a_refusal_says_how_many_more_errors_there_are() {
    let refusal = |change: Change| Situation::create().with(change).review().refusal();
    assert_eq!(refusal(|_| ()), None);
    // A warning is none of them.
    let one = refusal(|s| {
        set(s, json!({"dnsPrefix": "a_b", "loadBalancerSku": "Gold", "networkPolicy": "cilium"}));
    });
    assert!(
        one.as_ref().unwrap().ends_with(" or leave it out (and 2 more: POST /api/v1/aks/review lists all)"),
        "{one:?}"
    );
    let one = refusal(|s| set(s, json!({"dnsPrefix": "a_b", "httpApplicationRouting": true})));
    assert!(!one.as_ref().unwrap().contains(" more"), "{one:?}");
    let ranchers = refusal(|s| {
        unset(s, &["resourceLocation"]);
        set(s, json!({"dnsPrefix": "a_b"}));
    });
    assert!(ranchers.as_ref().unwrap().starts_with("must provide region: "), "{ranchers:?}");
    assert!(!ranchers.as_ref().unwrap().contains(" more"), "{ranchers:?}");
}

#[test]
fn one_silent_part_of_azure_leaves_the_others_checked() {
    let review = Situation::create()
        .with(|s| {
            s.azure.usages = Read::Unknown("403".to_owned());
            set_pool(s, 1, json!({"vmSize": "Standard_D4s_v9"}));
        })
        .review();
    let unchecked = |rule: &str| Unchecked { rule: rule.to_owned(), reason: "403".to_owned() };
    assert_eq!(review.unchecked, [unchecked("quota"), unchecked("quota-of-autoscaling")]);
    assert_eq!(review.first_error().unwrap().rule, "size-exists");
}

#[test]
fn a_change_is_blocked_only_by_what_it_brings() {
    let old = |s: &mut Situation| {
        // Nothing that was let in before stands in the way of something else.
        for spec in [Some(&mut s.spec), s.stored.as_mut()].into_iter().flatten() {
            spec["dnsPrefix"] = json!("a_b");
        }
        set(s, json!({"tags": {"team": "b"}}));
    };
    let review = Situation::update().with(old).review();
    assert_eq!(review.first_error(), None, "{review:#?}");
    assert!(review.findings.iter().any(|it| it.rule == "dns-prefix" && it.severity == Severity::Warning));
    let review = Situation::update()
        .with(|s| {
            old(s);
            set(s, json!({"tags": {"a/b": ""}}));
        })
        .review();
    assert_eq!(review.first_error().unwrap().rule, "tags");
}

#[test]
fn imports_are_never_blocked_but_by_changes_that_cannot_be_made() {
    let review = Situation::import()
        .with(|s| {
            set(s, json!({"clusterName": "a b", "resourceLocation": ""}));
        })
        .review();
    assert_eq!(review.first_error(), None);
    let review = Situation::import().with(|s| s.azure.cluster = Read::Known(None)).review();
    assert_eq!(review.first_error().unwrap().rule, "import-exists");
    let review = Situation::import().with(|s| unset(s, &["azureCredentialSecret"])).review();
    assert_eq!(review.first_error().unwrap().field, "aksConfig.azureCredentialSecret");
    let import = |change: Value| {
        let mut stored = Situation::import().spec;
        stored["kubernetesVersion"] = json!(null);
        let mut spec = stored.clone();
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        Situation { spec, stored: Some(stored), ..Situation::update() }.review()
    };
    assert_eq!(import(json!({"dnsPrefix": "other"})).first_error().unwrap().field, "aksConfig.dnsPrefix");
    assert_eq!(import(json!({"dnsPrefix": "shop", "networkPlugin": "azure"})).first_error(), None);
    let review = import(json!({"kubernetesVersion": "1.30.0"}));
    assert_eq!(review.first_error(), None);
    assert!(review.findings.iter().any(|it| it.rule == "version-not-lowered"), "{review:#?}");
}

#[test]
fn credential_that_azure_rejects_blocks_every_change() {
    for start in [Situation::create, Situation::update, Situation::import] {
        let review =
            start().with(|s| s.azure.denial = Some(denial(DenialKind::Credential, "x", "y", false))).review();
        assert_eq!(review.first_error().unwrap().rule, "credential-refused");
        assert!(review.first_error().unwrap().rests_on_azure);
    }
}

#[test]
fn only_recent_rights_alone_may_pass() {
    let passes = |change: Change| {
        let situation = Situation::create().with(change);
        situation.judge(|subject, azure| may_pass(&review(subject, azure), subject, azure))
    };
    assert!(!passes(|_| ()));
    assert!(passes(|s| s.azure.denial = Some(denial(DenialKind::Credential, "x", "y", true))));
    assert!(passes(|s| s.azure.permissions = Read::Known(permissions(&["*/read"]))));
    assert!(!passes(|s| s.azure.denial = Some(denial(DenialKind::Credential, "x", "y", false))));
    assert!(!passes(|s| {
        s.azure.denial = Some(denial(DenialKind::Credential, "x", "y", true));
        set(s, json!({"dnsPrefix": "a_b"}));
    }));
    assert!(!passes(|s| {
        s.azure.denial = Some(denial(DenialKind::Credential, "x", "y", true));
        s.advise = true;
    }));
}

#[test]
fn value_that_terraform_keeps_has_a_way_out() {
    const WAY_OUT: &str = "terraform state rm";
    let remedy = |change: Change| {
        let review = Situation::update().with(change).review();
        review.first_error().unwrap().remedy.clone()
    };
    let invalid_taint = |s: &mut Situation| set_pool(s, 1, json!({"nodeTaints": ["a"]}));
    assert!(remedy(|s| set_pool(s, 1, json!({"nodeTaints": ["a"]}))).contains(WAY_OUT));
    // What the user set before comes back with the response.
    let tags = |s: &mut Situation| set(s, json!({"tags": {"a/b": ""}}));
    assert!(!Situation::update().with(tags).review().first_error().unwrap().remedy.contains(WAY_OUT));
    assert!(
        remedy(|s| {
            set(s, json!({"tags": {"a/b": ""}}));
            s.stored.as_mut().unwrap().as_object_mut().unwrap().remove("tags");
            s.upstream.as_mut().unwrap().as_object_mut().unwrap().remove("tags");
        })
        .contains(WAY_OUT)
    );
    // Where Azure has a value, the response corrects it.
    assert!(
        !remedy(|s| {
            set(s, json!({"serviceCidr": "10.9.0.0/16"}));
            s.stored.as_mut().unwrap().as_object_mut().unwrap().remove("serviceCidr");
        })
        .contains(WAY_OUT)
    );
    assert!(
        !Situation::create().with(invalid_taint).review().first_error().unwrap().remedy.contains(WAY_OUT)
    );
}

#[test]
fn advise_turns_what_rests_on_azure_into_warnings() {
    let broken = |s: &mut Situation| {
        s.advise = true;
        set(s, json!({"kubernetesVersion": "1.32.99"}));
    };
    let review = Situation::create().with(broken).review();
    assert_eq!(review.first_error(), None);
    assert_eq!(
        (review.findings[0].rule.as_str(), review.findings[0].severity),
        ("version-offered", Severity::Warning)
    );
    let review = Situation::create()
        .with(|s| {
            broken(s);
            set(s, json!({"dnsPrefix": "a_b"}));
        })
        .review();
    assert_eq!(review.first_error().unwrap().rule, "dns-prefix");
}

#[test]
fn findings_come_in_order_of_weight_and_read_back() {
    let review = Situation::create()
        .with(|s| {
            set(s, json!({"networkPlugin": "kubenet", "httpApplicationRouting": true, "dnsPrefix": "a_b"}));
        })
        .review();
    assert!(review.findings.is_sorted_by_key(|it| it.severity), "{review:#?}");
    let severities: BTreeSet<_> = review.findings.iter().map(|it| it.severity).collect();
    assert_eq!(severities.len(), 3);
    let text = json!(review).to_string();
    assert!(text.contains(r#""severity":"error""#) && text.contains(r#""restsOnAzure":false"#), "{text}");
    assert_eq!(serde_json::from_str::<Review>(&text).unwrap(), review);
}

#[test]
fn only_what_is_needed_is_asked_of_azure() {
    let asked =
        |situation: Situation| situation.judge(|subject, _| needed(subject)).into_iter().collect::<Vec<_>>();
    assert_eq!(
        asked(Situation::create()),
        [
            Block::Cluster,
            Block::Networks,
            Block::NodeGroup,
            Block::Permissions,
            Block::Provider,
            Block::Regions,
            Block::Sizes,
            Block::Subscription,
            Block::Usages,
            Block::Versions
        ]
    );
    let change = |change: Change| asked(Situation::update().with(change));
    assert_eq!(asked(Situation::import()), [Block::Cluster, Block::Subscription]);
    assert_eq!(asked(Situation::update()), []);
    // Whether the credential may do anything at all.
    let access = [Block::Cluster, Block::Subscription];
    assert_eq!(change(|s| set(s, json!({"tags": {}, "monitoring": false}))), access);
    assert_eq!(
        change(|s| set(s, json!({"kubernetesVersion": "1.33.3"}))),
        [Block::Cluster, Block::Subscription, Block::Versions]
    );
    assert_eq!(
        change(|s| set_pool(s, 1, json!({"maxCount": 4}))),
        [Block::Cluster, Block::Networks, Block::Sizes, Block::Subscription, Block::Usages]
    );
    assert_eq!(change(|s| set_pool(s, 1, json!({"maxCount": 2}))), access);
    let networks = Situation::update().judge(|subject, _| super::networks(subject));
    assert_eq!(networks.into_iter().collect::<Vec<_>>(), [reference("net")]);
}

/// The table of docs/review.md: every rule with what it says about the first example that breaks it.
fn table() -> String {
    let examples = examples();
    let mut table =
        "| Rule | Weight | Asks Azure | Says, for example | Source |\n|---|---|---|---|---|\n".to_owned();
    for rule in rules() {
        let example = examples.iter().find(|it| it.rule == rule.name && !it.breaks.is_empty()).unwrap();
        let review = (example.start)().with(example.breaks[0].1).review();
        let finding = review.findings.into_iter().find(|it| it.rule == rule.name).unwrap();
        let weight = json!(rule.severity);
        let asks = if rule.rests_on_azure { "yes" } else { "no" };
        let (name, weight) = (rule.name, weight.as_str().unwrap());
        writeln!(table, "| `{name}` | {weight} | {asks} | {} | {} |", finding.sentence(), rule.source)
            .unwrap();
    }
    table + &behaviour::table()
}

/// `UPDATE_REVIEW=1 cargo test review` writes it anew.
#[test]
fn the_document_lists_every_rule() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/review.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (text, told) = document.split_at(document.find("| Rule |").unwrap());
    let made = table();
    #[expect(clippy::disallowed_methods, reason = "a switch for people, of no part of the program")]
    if std::env::var("UPDATE_REVIEW").is_ok() {
        std::fs::write(path, format!("{text}{made}")).unwrap();
        return;
    }
    assert!(told == made, "docs/review.md is stale: UPDATE_REVIEW=1 cargo test -p aks review");
}
