//! `cluster` and its nested types (`docs/contract/clusters.md#the-type-cluster`,
//! `docs/contract/aks-config.md#cluster-fields`).

use crate::api::norman::schemas::{Field, Kind, Schema};

const TEXTS: Kind = Kind::List(&Kind::Text);

/// A cluster.
pub static CLUSTER: Schema = Schema {
    id: "cluster",
    title: "Cluster",
    doc: "An AKS cluster that is provisioned or was imported.",
    plural: "clusters",
    collection: Some("/v3/clusters"),
    resource_methods: &["GET", "PUT", "DELETE"],
    collection_methods: &["GET", "POST"],
    actions: &[("generateKubeconfig", "generateKubeConfigOutput")],
    fields: &[
        Field::new("agentEnvVars", Kind::List(&Kind::Object(&ENV_VAR)), "Environment of the agent."),
        Field::new("aksConfig", Kind::Object(&AKS_CONFIG), "What the AKS cluster is to be.").non_null(),
        Field::output("aksStatus", Kind::Object(&AKS_STATUS), "What is known about the AKS cluster."),
        Field::new(
            "annotations",
            Kind::TextMap,
            "Notes for programs; those of `cattle.io/` stay when left out.",
        )
        .non_null(),
        Field::new("apiEndpoint", Kind::Text, "The address of its Kubernetes API.").read_only(),
        Field::new("appliedSpec", Kind::Object(&CLUSTER_SPEC), "What was last brought about in full.")
            .read_only(),
        Field::new("caCert", Kind::Text, "The certificate authority of its Kubernetes API: PEM in base64.")
            .read_only(),
        Field::new("clusterAgentDeploymentCustomization", Kind::Json, "How the cluster agent is deployed."),
        Field::output(
            "conditions",
            Kind::List(&Kind::Object(&CLUSTER_CONDITION)),
            "What holds of it, in the order in which it first came up.",
        ),
        Field::output("created", Kind::Date, "When it was made."),
        Field::output("createdTS", Kind::Int, "When it was made, in milliseconds since 1970."),
        Field::output("creatorId", Kind::Text, "The id of the user who made it."),
        Field::new(
            "defaultPodSecurityAdmissionConfigurationTemplateName",
            Kind::Text,
            "Kept, without effect.",
        ),
        Field::new("description", Kind::Text, "Words about it."),
        Field::new("desiredAgentImage", Kind::Text, "The image of the agent, when not the usual one."),
        Field::new("desiredAuthImage", Kind::Text, "Kept, without effect."),
        Field::new("dockerRootDir", Kind::Text, "`/var/lib/docker` when not given.").non_null(),
        Field::output("driver", Kind::Text, "`AKS`"),
        Field::new("enableNetworkPolicy", Kind::Bool, "Project network isolation.").non_null(),
        Field::new("fleetAgentDeploymentCustomization", Kind::Json, "Kept, without effect."),
        Field::new("fleetWorkspaceName", Kind::Text, "Kept, without effect."),
        Field::output("id", Kind::Text, "`c-xxxxx`"),
        Field::new(
            "importedConfig",
            Kind::Object(&IMPORTED_CONFIG),
            "Where an imported cluster gets its images.",
        ),
        Field::output("internal", Kind::Bool, "False."),
        Field::new("istioEnabled", Kind::Bool, "Kept, without effect."),
        Field::new("labels", Kind::TextMap, "Labels; those of `cattle.io/` stay when left out.").non_null(),
        Field::new(
            "localClusterAuthEndpoint",
            Kind::Object(&LOCAL_CLUSTER_AUTH_ENDPOINT),
            "Kept, without effect: AKS clusters have none.",
        ),
        Field::new("name", Kind::Text, "The name that people see; each only once.").required(),
        Field::new("nodeCount", Kind::Int, "Nodes that it has.").read_only(),
        Field::new("provider", Kind::Text, "`aks`, once it was seen in Azure.").read_only(),
        Field::output("state", Kind::Text, "`provisioning`, `active`, `updating` or `removing`."),
        Field::output("transitioning", Kind::Text, "`yes`, `no` or `error`."),
        Field::output("transitioningMessage", Kind::Text, "What is being done, or what failed."),
        Field::output("uuid", Kind::Text, "Never given to another object."),
        Field::new("version", Kind::Object(&INFO), "What its Kubernetes API says that it is.").read_only(),
        Field::new("windowsPreferedCluster", Kind::Bool, "Kept, without effect. The spelling is Rancher's."),
    ],
};

/// The response of the action generateKubeconfig of a cluster.
pub(super) static GENERATE_KUBE_CONFIG_OUTPUT: Schema = Schema::nested(
    "generateKubeConfigOutput",
    "GenerateKubeConfigOutput",
    "The way into a cluster through this server.",
    "generateKubeConfigOutputs",
    &[
        Field::output("config", Kind::Text, "The kubeconfig, as YAML; empty without HTTPS."),
        Field::new("message", Kind::Text, "Why there is none.").read_only(),
    ],
);

/// An environment variable of the agent.
pub(super) static ENV_VAR: Schema = Schema::nested(
    "envVar",
    "EnvVar",
    "A variable of an environment.",
    "envVars",
    &[
        Field::new("name", Kind::Text, "Its name."),
        Field::new("value", Kind::Text, "Its value; empty when not given."),
    ],
);

/// A condition of a cluster.
pub(super) static CLUSTER_CONDITION: Schema = Schema::nested(
    "clusterCondition",
    "ClusterCondition",
    "Something that holds of a cluster, or does not.",
    "clusterConditions",
    &[
        Field::new("lastTransitionTime", Kind::Date, "When `status` changed last.").read_only(),
        Field::new("lastUpdateTime", Kind::Date, "When anything about it changed last.").read_only(),
        Field::new("message", Kind::Text, "Why, for people.").read_only(),
        Field::new("reason", Kind::Text, "Why, in one word.").read_only(),
        Field::new("status", Kind::Text, "`True`, `False` or `Unknown`.").read_only(),
        Field::new("type", Kind::Text, "`Provisioned`, `Updated`, `Ready` and so on.").read_only(),
    ],
);

/// A specification of a cluster.
pub(super) static CLUSTER_SPEC: Schema = Schema::nested(
    "clusterSpec",
    "ClusterSpec",
    "A specification of a cluster.",
    "clusterSpecs",
    &[
        Field::new("aksConfig", Kind::Object(&AKS_CONFIG), "The AKS cluster.").read_only(),
        Field::new("type", Kind::Text, "`/v3/schemas/clusterSpec`").read_only(),
    ],
);

/// The response of a Kubernetes API to `/version`.
pub(super) static INFO: Schema = Schema::nested(
    "info",
    "Info",
    "What a Kubernetes API says that it is.",
    "infos",
    &[
        Field::new("buildDate", Kind::Text, "When it was built.").read_only(),
        Field::new("compiler", Kind::Text, "What it was built with.").read_only(),
        Field::new("gitCommit", Kind::Text, "What it was built from.").read_only(),
        Field::new("gitTreeState", Kind::Text, "Whether that was changed.").read_only(),
        Field::new("gitVersion", Kind::Text, "The version, `v1.32.7`.").read_only(),
        Field::new("goVersion", Kind::Text, "The version of Go.").read_only(),
        Field::new("major", Kind::Text, "`1`").read_only(),
        Field::new("minor", Kind::Text, "`32`").read_only(),
        Field::new("platform", Kind::Text, "`linux/amd64`").read_only(),
    ],
);

/// The image registry of an imported cluster.
pub(super) static IMPORTED_CONFIG: Schema = Schema::nested(
    "importedConfig",
    "ImportedConfig",
    "Where an imported cluster gets its images.",
    "importedConfigs",
    &[
        Field::new("privateRegistryPullSecrets", TEXTS, "The names of pull secrets."),
        Field::new("privateRegistryURL", Kind::Text, "The registry."),
    ],
);

/// Direct access to a cluster, which AKS clusters do not have.
pub(super) static LOCAL_CLUSTER_AUTH_ENDPOINT: Schema = Schema::nested(
    "localClusterAuthEndpoint",
    "LocalClusterAuthEndpoint",
    "A second way into a cluster.",
    "localClusterAuthEndpoints",
    &[
        Field::new("caCerts", Kind::Text, "The certificate authority of that way."),
        Field::new("enabled", Kind::Bool, "Whether it is wanted."),
        Field::new("fqdn", Kind::Text, "The host name of that way."),
    ],
);

/// The observed state of an AKS cluster.
pub(super) static AKS_STATUS: Schema = Schema::nested(
    "aksStatus",
    "AksStatus",
    "What is known about an AKS cluster.",
    "aksStatuses",
    &[
        Field::new(
            "leftBehind",
            Kind::Object(&LEFT_BEHIND),
            "What stays; only in the answer to `DELETE …?force=true`.",
        )
        .read_only(),
        Field::new("privateRequiresTunnel", Kind::Bool, "Whether only an agent can reach it.").read_only(),
        Field::new("rbacEnabled", Kind::Bool, "Whether it checks rights.").read_only(),
        Field::new("review", Kind::Json, "What the review of `aksConfig` found when it was saved.")
            .read_only(),
        Field::new("steps", Kind::List(&Kind::Object(&PROVISIONING_STEP)), "Its way to `active`, in order.")
            .read_only(),
        Field::new("type", Kind::Text, "`/v3/schemas/aksStatus`").read_only(),
        Field::new("upstreamSpec", Kind::Object(&AKS_CONFIG), "What Azure says it is.").read_only(),
        Field::new("waiting", Kind::Object(&WAITING), "What is waited for.").read_only(),
    ],
);

/// A step of a cluster's provisioning. Not in Rancher.
pub(super) static PROVISIONING_STEP: Schema = Schema::nested(
    "provisioningStep",
    "ProvisioningStep",
    "A step on the way of a cluster to `active`.",
    "provisioningSteps",
    &[
        Field::new("message", Kind::Text, "For people.").read_only(),
        Field::new("name", Kind::Text, "Which one, for programs.").read_only(),
        Field::new("since", Kind::Date, "Since when it is in that state.").read_only(),
        Field::new("state", Kind::Text, "`pending`, `running`, `done` or `failed`.").read_only(),
    ],
);

/// The resources that remain after only the object of a cluster is deleted. Not in Rancher.
pub(in crate::api) static LEFT_BEHIND: Schema = Schema::nested(
    "leftBehind",
    "LeftBehind",
    "What stays when only the object of a cluster goes.",
    "leftBehinds",
    &[
        Field::new("message", Kind::Text, "All of it in one sentence, for people.").read_only(),
        Field::new("resources", Kind::List(&Kind::Object(&LEFT_RESOURCE)), "Each thing.").read_only(),
    ],
);

/// A resource that remains. Not in Rancher.
pub(super) static LEFT_RESOURCE: Schema = Schema::nested(
    "leftResource",
    "LeftResource",
    "One thing that stays.",
    "leftResources",
    &[
        Field::new(
            "id",
            Kind::Text,
            "Its id in Azure, which begins with `/resourceGroups/` when the subscription is not known; of an account, \
             `<namespace>/<name>`.",
        )
        .read_only(),
        Field::new(
            "kind",
            Kind::Text,
            "`cluster`, `nodeResourceGroup`, `resourceGroup`, `workspace`, `serviceAccount`, `clusterAgent` or `clusterRoles`.",
        )
        .read_only(),
        Field::new("note", Kind::Text, "What it is to this server, for people.").read_only(),
    ],
);

/// The reason for which a cluster waits. Not in Rancher.
pub(super) static WAITING: Schema = Schema::nested(
    "waiting",
    "Waiting",
    "What a cluster waits for.",
    "waitings",
    &[
        Field::new("percent", Kind::Int, "How far it is, where Azure says it.").read_only(),
        Field::new("since", Kind::Date, "Since when.").read_only(),
        Field::new("what", Kind::Text, "What it is, for people.").read_only(),
    ],
);

/// The specification of an AKS cluster.
pub static AKS_CONFIG: Schema = Schema::nested(
    "aksClusterConfigSpec",
    "AksClusterConfigSpec",
    "What an AKS cluster is to be. A field that is not set is not managed.",
    "aksClusterConfigSpecs",
    &[
        Field::new("authBaseUrl", Kind::Text, "Kept, without effect."),
        Field::new("authorizedIpRanges", TEXTS, "The address ranges that may reach the API server."),
        Field::new("azureCredentialSecret", Kind::Text, "The id of the cloud credential."),
        Field::new("baseUrl", Kind::Text, "Kept, without effect."),
        Field::new("clusterName", Kind::Text, "The name in AKS; cannot be changed."),
        Field::new("dnsPrefix", Kind::Text, "The start of the API server's host name."),
        Field::new("dnsServiceIp", Kind::Text, "An address within `serviceCidr`."),
        Field::new("dockerBridgeCidr", Kind::Text, "Kept, without effect."),
        Field::new("httpApplicationRouting", Kind::Bool, "The add-on of that name."),
        Field::new("imported", Kind::Bool, "The AKS cluster exists already; cannot be changed."),
        Field::new("kubernetesVersion", Kind::Text, "The version of the control plane."),
        Field::new("linuxAdminUsername", Kind::Text, "Counts together with `sshPublicKey`."),
        Field::new("loadBalancerSku", Kind::Text, "`Standard` or `Basic`."),
        Field::new(
            "logAnalyticsWorkspaceGroup",
            Kind::Text,
            "The resource group of the workspace for `monitoring`.",
        ),
        Field::new("logAnalyticsWorkspaceName", Kind::Text, "The workspace for `monitoring`."),
        Field::new("managedIdentity", Kind::Bool, "Whether Azure manages the cluster's identity."),
        Field::new("monitoring", Kind::Bool, "The add-on of that name."),
        Field::new("networkPlugin", Kind::Text, "`azure` or `kubenet`."),
        Field::new("networkPolicy", Kind::Text, "`azure` or `calico`."),
        Field::new(
            "nodePools",
            Kind::List(&Kind::Object(&AKS_NODE_POOL)),
            "The node pools, in the order of the user.",
        ),
        Field::new("nodeResourceGroup", Kind::Text, "The resource group of the machines."),
        Field::new(
            "outboundType",
            Kind::Text,
            "`loadBalancer`, `userDefinedRouting`, `managedNATGateway` or `userAssignedNATGateway`.",
        ),
        Field::new("podCidr", Kind::Text, "The addresses of pods."),
        Field::new("privateCluster", Kind::Bool, "The API server has no public address."),
        Field::new("privateDnsZone", Kind::Text, "`system`, `none` or a resource id; with `privateCluster`."),
        Field::new("resourceGroup", Kind::Text, "The resource group; cannot be changed."),
        Field::new("resourceLocation", Kind::Text, "The region; cannot be changed."),
        Field::new("serviceCidr", Kind::Text, "The addresses of services."),
        Field::new("sshPublicKey", Kind::Text, "Counts together with `linuxAdminUsername`."),
        Field::new("subnet", Kind::Text, "An existing subnet of `virtualNetwork`."),
        Field::new("tags", Kind::TextMap, "Tags of the cluster resource."),
        Field::new("type", Kind::Text, "`/v3/schemas/aksClusterConfigSpec`").read_only(),
        Field::new("userAssignedIdentity", Kind::Text, "A resource id; with `managedIdentity`."),
        Field::new("virtualNetwork", Kind::Text, "An existing network."),
        Field::new("virtualNetworkResourceGroup", Kind::Text, "The resource group of that network."),
    ],
);

/// The specification of a node pool.
pub(super) static AKS_NODE_POOL: Schema = Schema::nested(
    "aksNodePool",
    "AksNodePool",
    "What a node pool is to be.",
    "aksNodePools",
    &[
        Field::new("availabilityZones", TEXTS, "The zones: `1`, `2`, `3`."),
        Field::new("count", Kind::Int, "The number of machines; without meaning while autoscaling."),
        Field::new("enableAutoScaling", Kind::Bool, "Whether Azure chooses the number of machines."),
        Field::new("maxCount", Kind::Int, "The most machines while autoscaling."),
        Field::new("maxPods", Kind::Int, "The most pods of a machine."),
        Field::new("maxSurge", Kind::Text, "Machines that are added while upgrading: `1`, `33%`."),
        Field::new("minCount", Kind::Int, "The fewest machines while autoscaling."),
        Field::new("mode", Kind::Text, "`System` or `User`."),
        Field::new("name", Kind::Text, "The name, which tells pools apart."),
        Field::new("nodeLabels", Kind::TextMap, "Labels of the nodes."),
        Field::new("nodeTaints", TEXTS, "Taints of the nodes, `key=value:Effect`."),
        Field::new("orchestratorVersion", Kind::Text, "The Kubernetes version of the pool."),
        Field::new("osDiskSizeGB", Kind::Int, "The size of the disk in GiB."),
        Field::new("osDiskType", Kind::Text, "`Managed` or `Ephemeral`."),
        Field::new("osType", Kind::Text, "`Linux`"),
        Field::new("type", Kind::Text, "`/v3/schemas/aksNodePool`").read_only(),
        Field::new("vmSize", Kind::Text, "The size of the machines, `Standard_D2d_v4`."),
        Field::new("vnetSubnetID", Kind::Text, "The resource id of the subnet; taken from Azure."),
    ],
);
