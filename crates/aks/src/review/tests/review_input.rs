//! The input of a review, and changes of the input for examples.

use serde_json::{Value, json};

use crate::arm::{Lenient, Permission, Subscription};
use crate::cluster_details::ClusterDetails;
use crate::provision::imported::UserEntries;
use crate::review::{
    AzureData, Before, Denial, DenialKind, ExistingCluster, Facts, NetworkRef, Permissions, ProviderState,
    Purpose, Read, ReadNetwork, Review, Subject, UnknownField, review,
};
use crate::spec::AksConfig;
use crate::testing::{extended, from_json, object};

/// The input of a review.
pub(super) struct ReviewInput {
    pub(super) spec: Value,
    /// The cluster before the change; `None` for a new one.
    pub(super) stored: Option<Value>,
    pub(super) upstream: Option<Value>,
    pub(super) details: ClusterDetails,
    pub(super) imported: bool,
    pub(super) isolation: bool,
    pub(super) advise: bool,
    pub(super) unknown_fields: Vec<UnknownField>,
    pub(super) facts: Facts,
    pub(super) azure: AzureData,
    pub(super) user_entries: UserEntries,
}

pub(super) const DAY_MS: i64 = 24 * 3_600 * 1_000;

pub(super) const SUBNET: &str =
    "/subscriptions/SUB/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/net/subnets/nodes";
pub(super) const IDENTITY: &str =
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";

pub(super) fn new_cluster() -> Value {
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

pub(super) fn pool(keys: Value) -> Value {
    let pool = json!({"name": "p", "mode": "User", "count": 2, "maxPods": 60, "osDiskSizeGB": 64, "osDiskType": "Managed",
        "osType": "Linux", "vmSize": "Standard_D4s_v3", "orchestratorVersion": "1.32.7", "availabilityZones": ["1", "2"], "maxSurge": "1"});
    extended(pool, keys)
}

pub(super) fn network() -> Value {
    json!({"name": "Net", "location": "East US", "properties": {"addressSpace": {"addressPrefixes": ["10.40.0.0/16", "fd00::/48"]}, "subnets": [
        {"name": "nodes", "properties": {"addressPrefixes": ["10.40.0.0/22", "fd00::/64"], "ipConfigurations": []}},
    ]}})
}

pub(super) fn reference(name: &str) -> NetworkRef {
    NetworkRef { subscription: None, group: "rg-net".to_owned(), name: name.to_owned() }
}

pub(super) fn offer(keys: Value) -> Value {
    let offer = json!({"resourceType": "virtualMachines", "name": "Standard_D4s_v3", "family": "standardDSv3Family",
        "locationInfo": [{"zones": ["3", "1", "2"]}], "restrictions": [], "capabilities": [
            {"name": "vCPUs", "value": "4"}, {"name": "MemoryGB", "value": "16"}, {"name": "EphemeralOSDiskSupported", "value": "True"},
            {"name": "CachedDiskBytes", "value": "107374182400"}, {"name": "LowPriorityCapable", "value": "True"}]});
    extended(offer, keys)
}

fn offers(list: Value) -> Read<Vec<crate::arm::VmSku>> {
    Read::Known(from_json::<Lenient<Vec<_>>>(list).0.unwrap())
}

fn azure() -> AzureData {
    let patches = |upgrades: Value| json!({"upgrades": upgrades});
    AzureData {
        versions: Read::Known(from_json(json!([
            {"version": "1.34", "isPreview": true, "capabilities": {"supportPlan": ["KubernetesOfficial"]}, "patchVersions": {"1.34.1": patches(json!([]))}},
            {"version": "1.33", "capabilities": {"supportPlan": ["KubernetesOfficial"]}, "patchVersions": {"1.33.3": patches(json!(["1.34.1"]))}},
            {"version": "1.32", "capabilities": {"supportPlan": ["KubernetesOfficial"]}, "patchVersions": {
                "1.32.7": patches(json!(["1.32.9", "1.33.3"])), "1.32.9": patches(json!(["1.33.3"]))}},
            {"version": "1.30", "capabilities": {"supportPlan": ["AKSLongTermSupport"]}, "patchVersions": {"1.30.101": patches(json!(["1.32.7"]))}},
        ]))),
        own_targets: Vec::new(),
        sizes: offers(json!([offer(json!({}))])),
        networks: Read::Known(vec![ReadNetwork {
            reference: reference("net"),
            network: from_json(network()),
        }]),
        usages: Read::Known(from_json(
            json!([{"name": {"value": "cores"}, "currentValue": 10, "limit": 100}]),
        )),
        regions: Read::Known(from_json(
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
pub(super) fn permissions(actions: &[&str]) -> Permissions {
    Permissions {
        client_id: "app".to_owned(),
        scope: "/subscriptions/sub/resourceGroups/rg".to_owned(),
        group_exists: true,
        roles: roles(actions),
    }
}

pub(super) fn roles(actions: &[&str]) -> Vec<Permission> {
    let actions = actions.iter().map(|action| (*action).to_owned()).collect();
    vec![Permission { actions, not_actions: Vec::new() }]
}

impl ReviewInput {
    pub(super) fn create() -> Self {
        Self {
            spec: new_cluster(),
            stored: None,
            upstream: None,
            details: ClusterDetails::default(),
            imported: false,
            isolation: false,
            advise: false,
            unknown_fields: Vec::new(),
            facts: Facts {
                now_ms: 1_000 * DAY_MS,
                credential_changed_ms: Some(990 * DAY_MS),
                cluster_created_ms: None,
                credential_sent_along: false,
            },
            azure: azure(),
            user_entries: UserEntries::default(),
        }
    }

    /// A change of an existing cluster.
    pub(super) fn update() -> Self {
        let mut upstream = new_cluster();
        // Azure adds these keys.
        upstream["podCidr"] = json!("10.244.0.0/16");
        for pool in upstream["nodePools"].as_array_mut().unwrap() {
            pool["vnetSubnetID"] = json!(SUBNET);
        }
        Self { stored: Some(new_cluster()), upstream: Some(upstream), ..Self::create() }
    }

    pub(super) fn import() -> Self {
        let spec = json!({"imported": true, "clusterName": "theirs", "resourceGroup": "rg", "resourceLocation": "eastus",
            "azureCredentialSecret": "cattle-global-data:cc-1"});
        let mut input = Self { spec, imported: true, ..Self::create() };
        input.azure.cluster = Read::Known(Some(ExistingCluster::default()));
        input
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Sets keys of the specification; `[1].name` is a key of a node pool, and `null` removes a key. The prefix `stored:`,
    /// `azure:` (upstream) or `before:` (stored and upstream) selects other specifications.
    pub(super) fn set(&mut self, keys: Value) {
        for (key, value) in object(keys) {
            let (scope, key) = key.split_once(':').unwrap_or(("spec", &key));
            let specs: Vec<&mut Value> = match scope {
                "spec" => vec![&mut self.spec],
                "stored" => self.stored.iter_mut().collect(),
                "azure" => self.upstream.iter_mut().collect(),
                _ => self.stored.iter_mut().chain(&mut self.upstream).collect(),
            };
            for spec in specs {
                let (target, key) = match key.strip_prefix('[').and_then(|key| key.split_once("].")) {
                    Some((index, key)) => (&mut spec["nodePools"][index.parse::<usize>().unwrap()], key),
                    None => (spec, key),
                };
                let target = target.as_object_mut().unwrap();
                match &value {
                    Value::Null => drop(target.remove(key)),
                    value => drop(target.insert(key.to_owned(), value.clone())),
                }
            }
        }
    }

    pub(super) fn with_subject<T>(&self, call: impl FnOnce(&Subject<'_>, &AzureData) -> T) -> T {
        let spec: AksConfig = from_json(self.spec.clone());
        let stored: Option<AksConfig> = self.stored.clone().map(from_json);
        let upstream: Option<AksConfig> = self.upstream.clone().map(from_json);
        let purpose = match &stored {
            Some(stored) => Purpose::Update(Before {
                stored,
                applied: None,
                upstream: upstream.as_ref(),
                details: &self.details,
                user_entries: Some(&self.user_entries),
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
            unknown_fields: &self.unknown_fields,
            facts: self.facts,
        };
        call(&subject, &self.azure)
    }

    pub(super) fn review(&self) -> Review {
        self.with_subject(review)
    }

    /// The fields of the findings of a rule.
    pub(super) fn fields(&self, rule: &str) -> Vec<String> {
        let findings = self.review().findings.into_iter();
        findings.filter(|finding| finding.rule == rule).map(|finding| finding.field).collect()
    }
}

/// Puts the cluster into this network.
pub(super) fn in_network(network: Value) -> impl Fn(&mut ReviewInput) {
    move |input| {
        let network = ReadNetwork { reference: reference("net"), network: from_json(network.clone()) };
        input.azure.networks = Read::Known(vec![network]);
    }
}

/// Sets properties of the subnet of the nodes.
pub(super) fn subnet(keys: Value) -> impl Fn(&mut ReviewInput) {
    let mut network = network();
    let properties = &mut network["properties"]["subnets"][0]["properties"];
    *properties = extended(properties.take(), keys);
    in_network(network)
}

/// Puts the cluster into the network of Azure's tutorials, in which services and nodes share one large address space.
pub(super) fn large_network(other_subnets: Value) -> impl Fn(&mut ReviewInput) {
    let mut subnets = vec![json!({"name": "nodes", "properties": {"addressPrefix": "10.240.0.0/16"}})];
    subnets.extend(other_subnets.as_array().unwrap().clone());
    in_network(
        json!({"name": "Net", "location": "eastus", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}, "subnets": subnets}}),
    )
}

/// Makes Azure offer only the default VM size, with these properties.
pub(super) fn size(keys: Value) -> impl Fn(&mut ReviewInput) {
    sizes(json!([offer(keys)]))
}

pub(super) fn sizes(list: Value) -> impl Fn(&mut ReviewInput) {
    move |input| input.azure.sizes = offers(list.clone())
}

/// Sets the usage of the regional quota, which is 100 vCPUs.
pub(super) fn used_cores(cores: i64) -> impl Fn(&mut ReviewInput) {
    move |input| {
        let usages = json!([{"name": {"value": "cores"}, "currentValue": cores, "limit": 100}]);
        input.azure.usages = Read::Known(from_json(usages));
    }
}

/// Makes the cluster in Azure an overlay with cilium.
pub(super) fn overlay(input: &mut ReviewInput) {
    input.details.overlay = true;
    input.set(json!({"azure:networkPolicy": "cilium", "azure:podCidr": "10.244.0.0/16", "networkPolicy": null, "stored:networkPolicy": null}));
}

/// Gives the pods of both pools their own subnet.
pub(super) fn pod_subnet(input: &mut ReviewInput) {
    input.details.pod_subnet_pools = ["system".to_owned(), "user".to_owned()].into();
}

/// Moves the cluster in Azure into a network that Azure created.
pub(super) fn in_managed_network(input: &mut ReviewInput) {
    input.set(
        json!({"azure:virtualNetwork": null, "azure:virtualNetworkResourceGroup": null, "azure:subnet": null,
        "azure:[0].vnetSubnetID": null, "azure:[1].vnetSubnetID": null}),
    );
}

/// Makes the cluster run 1.30.100 with long-term support.
pub(super) fn long_term_support(input: &mut ReviewInput) {
    input.details.running_version = Some("1.30.100".to_owned());
    input.details.long_term = true;
    input.azure.own_targets = vec!["1.30.101".to_owned(), "1.32.7".to_owned()];
    for scope in ["spec", "before"] {
        for key in ["kubernetesVersion", "[0].orchestratorVersion", "[1].orchestratorVersion"] {
            input.set(json!({format!("{scope}:{key}"): "1.30.100"}));
        }
    }
}

/// Sets the running version of the control plane.
pub(super) fn running_version(version: &'static str) -> impl Fn(&mut ReviewInput) {
    move |input| input.details.running_version = Some(version.to_owned())
}

/// Makes the cluster an import.
pub(super) fn imported(input: &mut ReviewInput) {
    input.set(json!({"imported": true, "stored:imported": true}));
}

/// Adds the cluster to Azure, in this region.
pub(super) fn existing_in_region(region: &'static str) -> impl Fn(&mut ReviewInput) {
    existing_cluster(json!({"resourceLocation": region}), false)
}

/// Adds this cluster to Azure; `failed` is whether its creation failed.
pub(super) fn existing_cluster(spec: Value, failed: bool) -> impl Fn(&mut ReviewInput) {
    move |input| {
        let cluster = ExistingCluster { spec: from_json(spec.clone()), failed, ..ExistingCluster::default() };
        input.azure.cluster = Read::Known(Some(cluster));
    }
}

/// Makes Azure reject every request.
pub(super) fn denied(
    kind: DenialKind,
    message: &'static str,
    remedy: &'static str,
    may_be_recent: bool,
) -> impl Fn(&mut ReviewInput) {
    move |input| {
        let (message, remedy) = (message.to_owned(), remedy.to_owned());
        input.azure.denial = Some(Denial { kind, message, remedy, may_be_recent });
    }
}

/// Sets the state of the subscription.
pub(super) fn subscription(state: Option<&'static str>) -> impl Fn(&mut ReviewInput) {
    move |input| input.azure.subscription = Read::Known(Subscription { state: state.map(str::to_owned) })
}
