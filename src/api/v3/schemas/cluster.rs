//! `cluster` and its nested types (`docs/contract/clusters.md#the-type-cluster`,
//! `docs/contract/aks-config.md#cluster-fields`).

use crate::api::norman::schemas::{Field, Kind, Schema};

const TEXT_LIST: Kind = Kind::List(&Kind::Text);

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
        Field::new("aksConfig", Kind::Object(&AKS_CONFIG), "The specification of the AKS cluster.")
            .non_null(),
        Field::output("aksStatus", Kind::Object(&AKS_STATUS), "The observed state of the AKS cluster."),
        Field::new("annotations", Kind::TextMap, "Annotations; missing ones of `cattle.io/` are kept.")
            .non_null(),
        Field::new("apiEndpoint", Kind::Text, "The URL of its Kubernetes API.").read_only(),
        Field::new(
            "appliedSpec",
            Kind::Object(&CLUSTER_SPEC),
            "The last specification that was applied completely.",
        )
        .read_only(),
        Field::new("caCert", Kind::Text, "The certificate authority of its Kubernetes API: PEM in base64.")
            .read_only(),
        Field::new(
            "clusterAgentDeploymentCustomization",
            Kind::Json,
            "The customization of the cluster agent's deployment.",
        ),
        Field::output(
            "conditions",
            Kind::List(&Kind::Object(&CLUSTER_CONDITION)),
            "The conditions, in the order of their first occurrence.",
        ),
        Field::output("created", Kind::Date, "The creation time."),
        Field::output("createdTS", Kind::Int, "The creation time in milliseconds since 1970."),
        Field::output("creatorId", Kind::Text, "The ID of the user who created it."),
        Field::new(
            "defaultPodSecurityAdmissionConfigurationTemplateName",
            Kind::Text,
            "Stored, but has no effect.",
        ),
        Field::new("description", Kind::Text, "A description."),
        Field::new("desiredAgentImage", Kind::Text, "The image of the agent, if it is not the default."),
        Field::new("desiredAuthImage", Kind::Text, "Stored, but has no effect."),
        Field::new("dockerRootDir", Kind::Text, "`/var/lib/docker` if it is missing.").non_null(),
        Field::output("driver", Kind::Text, "`AKS`"),
        Field::new("enableNetworkPolicy", Kind::Bool, "Project network isolation.").non_null(),
        Field::new("fleetAgentDeploymentCustomization", Kind::Json, "Stored, but has no effect."),
        Field::new("fleetWorkspaceName", Kind::Text, "Stored, but has no effect."),
        Field::output("id", Kind::Text, "`c-xxxxx`"),
        Field::new(
            "importedConfig",
            Kind::Object(&IMPORTED_CONFIG),
            "The image registry of an imported cluster.",
        ),
        Field::output("internal", Kind::Bool, "Always `false`."),
        Field::new("istioEnabled", Kind::Bool, "Stored, but has no effect."),
        Field::new("labels", Kind::TextMap, "Labels; missing ones of `cattle.io/` are kept.").non_null(),
        Field::new(
            "localClusterAuthEndpoint",
            Kind::Object(&LOCAL_CLUSTER_AUTH_ENDPOINT),
            "Stored, but has no effect: AKS clusters have none.",
        ),
        Field::new("name", Kind::Text, "The display name, unique among clusters.").required(),
        Field::new("nodeCount", Kind::Int, "The number of nodes.").read_only(),
        Field::new("provider", Kind::Text, "`aks`, after it was read from Azure.").read_only(),
        Field::output("state", Kind::Text, "`provisioning`, `active`, `updating` or `removing`."),
        Field::output("transitioning", Kind::Text, "`yes`, `no` or `error`."),
        Field::output("transitioningMessage", Kind::Text, "The operation in progress, or the failure."),
        Field::output("uuid", Kind::Text, "The UUID, unique among all objects."),
        Field::new("version", Kind::Object(&INFO), "The version that its Kubernetes API reports.")
            .read_only(),
        Field::new(
            "windowsPreferedCluster",
            Kind::Bool,
            "Stored, but has no effect. The spelling is Rancher's.",
        ),
    ],
};

/// The response of the action generateKubeconfig of a cluster.
pub(super) static GENERATE_KUBE_CONFIG_OUTPUT: Schema = Schema::nested(
    "generateKubeConfigOutput",
    "GenerateKubeConfigOutput",
    "Access to a cluster through this server.",
    "generateKubeConfigOutputs",
    &[
        Field::output("config", Kind::Text, "The kubeconfig, as YAML; empty without HTTPS."),
        Field::new("message", Kind::Text, "The reason why there is no kubeconfig.").read_only(),
    ],
);

/// An environment variable of the agent.
pub(super) static ENV_VAR: Schema = Schema::nested(
    "envVar",
    "EnvVar",
    "An environment variable.",
    "envVars",
    &[
        Field::new("name", Kind::Text, "Its name."),
        Field::new("value", Kind::Text, "Its value; empty if it is missing."),
    ],
);

/// A condition of a cluster.
pub(super) static CLUSTER_CONDITION: Schema = Schema::nested(
    "clusterCondition",
    "ClusterCondition",
    "A condition of a cluster.",
    "clusterConditions",
    &[
        Field::new("lastTransitionTime", Kind::Date, "The time of the last change of `status`.").read_only(),
        Field::new("lastUpdateTime", Kind::Date, "The time of the last change of any field.").read_only(),
        Field::new("message", Kind::Text, "The reason, for users.").read_only(),
        Field::new("reason", Kind::Text, "The reason in one word, for programs.").read_only(),
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
    "The version that a Kubernetes API reports.",
    "infos",
    &[
        Field::new("buildDate", Kind::Text, "The build time.").read_only(),
        Field::new("compiler", Kind::Text, "The compiler.").read_only(),
        Field::new("gitCommit", Kind::Text, "The source commit.").read_only(),
        Field::new("gitTreeState", Kind::Text, "Whether the source tree was modified.").read_only(),
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
    "The image registry of an imported cluster.",
    "importedConfigs",
    &[
        Field::new("privateRegistryPullSecrets", TEXT_LIST, "The names of pull secrets."),
        Field::new("privateRegistryURL", Kind::Text, "The registry."),
    ],
);

/// Direct access to a cluster, which AKS clusters do not have.
pub(super) static LOCAL_CLUSTER_AUTH_ENDPOINT: Schema = Schema::nested(
    "localClusterAuthEndpoint",
    "LocalClusterAuthEndpoint",
    "Direct access to a cluster.",
    "localClusterAuthEndpoints",
    &[
        Field::new("caCerts", Kind::Text, "The certificate authority of the endpoint."),
        Field::new("enabled", Kind::Bool, "Whether it is enabled."),
        Field::new("fqdn", Kind::Text, "The host name of the endpoint."),
    ],
);

/// The observed state of an AKS cluster.
pub(super) static AKS_STATUS: Schema = Schema::nested(
    "aksStatus",
    "AksStatus",
    "The observed state of an AKS cluster.",
    "aksStatuses",
    &[
        Field::new(
            "leftBehind",
            Kind::Object(&LEFT_BEHIND),
            "The resources that remain; only in the response to `DELETE …?force=true`.",
        )
        .read_only(),
        Field::new("privateRequiresTunnel", Kind::Bool, "Whether it is reachable only through its agent.")
            .read_only(),
        Field::new("rbacEnabled", Kind::Bool, "Whether Kubernetes RBAC is enabled.").read_only(),
        Field::new("review", Kind::Json, "The findings of the review when `aksConfig` was saved.")
            .read_only(),
        Field::new(
            "steps",
            Kind::List(&Kind::Object(&PROVISIONING_STEP)),
            "The steps of its provisioning, in order.",
        )
        .read_only(),
        Field::new("type", Kind::Text, "`/v3/schemas/aksStatus`").read_only(),
        Field::new("upstreamSpec", Kind::Object(&AKS_CONFIG), "The specification in Azure.").read_only(),
        Field::new("waiting", Kind::Object(&WAITING), "The operation that the cluster waits for.")
            .read_only(),
    ],
);

/// A step of a cluster's provisioning. Not in Rancher.
pub(super) static PROVISIONING_STEP: Schema = Schema::nested(
    "provisioningStep",
    "ProvisioningStep",
    "A step of a cluster's provisioning.",
    "provisioningSteps",
    &[
        Field::new("message", Kind::Text, "The message for users.").read_only(),
        Field::new("name", Kind::Text, "The name, for programs.").read_only(),
        Field::new("since", Kind::Date, "The start of the state.").read_only(),
        Field::new("state", Kind::Text, "`pending`, `running`, `done` or `failed`.").read_only(),
    ],
);

/// The resources that remain after only the object of a cluster is deleted. Not in Rancher.
pub(in crate::api) static LEFT_BEHIND: Schema = Schema::nested(
    "leftBehind",
    "LeftBehind",
    "The resources that remain after only the object of a cluster is deleted.",
    "leftBehinds",
    &[
        Field::new("message", Kind::Text, "A summary for users.").read_only(),
        Field::new("resources", Kind::List(&Kind::Object(&LEFT_RESOURCE)), "The resources.").read_only(),
    ],
);

/// A resource that remains. Not in Rancher.
pub(super) static LEFT_RESOURCE: Schema = Schema::nested(
    "leftResource",
    "LeftResource",
    "A resource that remains.",
    "leftResources",
    &[
        Field::new(
            "id",
            Kind::Text,
            "Its resource ID in Azure, which starts with `/resourceGroups/` if the subscription is unknown; `<namespace>/<name>` \
             for a service account or an agent; the label for roles.",
        )
        .read_only(),
        Field::new(
            "kind",
            Kind::Text,
            "`cluster`, `nodeResourceGroup`, `resourceGroup`, `workspace`, `serviceAccount`, `clusterAgent` or `clusterRoles`.",
        )
        .read_only(),
        Field::new("note", Kind::Text, "Its purpose for this server, for users.").read_only(),
    ],
);

/// The operation that a cluster waits for. Not in Rancher.
pub(super) static WAITING: Schema = Schema::nested(
    "waiting",
    "Waiting",
    "The operation that a cluster waits for.",
    "waitings",
    &[
        Field::new("percent", Kind::Int, "The progress in percent, if Azure reports it.").read_only(),
        Field::new("since", Kind::Date, "The start of the wait.").read_only(),
        Field::new("what", Kind::Text, "A description for users.").read_only(),
    ],
);

/// The specification of an AKS cluster.
pub static AKS_CONFIG: Schema = Schema::nested(
    "aksClusterConfigSpec",
    "AksClusterConfigSpec",
    "The specification of an AKS cluster. Unset fields are not managed.",
    "aksClusterConfigSpecs",
    &[
        Field::new("authBaseUrl", Kind::Text, "Stored, but has no effect."),
        Field::new("authorizedIpRanges", TEXT_LIST, "The address ranges that may reach the API server."),
        Field::new("azureCredentialSecret", Kind::Text, "The ID of the cloud credential."),
        Field::new("baseUrl", Kind::Text, "Stored, but has no effect."),
        Field::new("clusterName", Kind::Text, "The name in AKS; cannot be changed."),
        Field::new("dnsPrefix", Kind::Text, "The prefix of the API server's host name."),
        Field::new("dnsServiceIp", Kind::Text, "An address within `serviceCidr`."),
        Field::new("dockerBridgeCidr", Kind::Text, "Stored, but has no effect."),
        Field::new("httpApplicationRouting", Kind::Bool, "Whether this add-on is enabled."),
        Field::new("imported", Kind::Bool, "Whether the AKS cluster is imported; cannot be changed."),
        Field::new("kubernetesVersion", Kind::Text, "The version of the control plane."),
        Field::new("linuxAdminUsername", Kind::Text, "Used only together with `sshPublicKey`."),
        Field::new("loadBalancerSku", Kind::Text, "`Standard` or `Basic`."),
        Field::new(
            "logAnalyticsWorkspaceGroup",
            Kind::Text,
            "The resource group of the workspace for `monitoring`.",
        ),
        Field::new("logAnalyticsWorkspaceName", Kind::Text, "The workspace for `monitoring`."),
        Field::new("managedIdentity", Kind::Bool, "Whether Azure manages the cluster's identity."),
        Field::new("monitoring", Kind::Bool, "Whether this add-on is enabled."),
        Field::new("networkPlugin", Kind::Text, "`azure` or `kubenet`."),
        Field::new("networkPolicy", Kind::Text, "`azure` or `calico`."),
        Field::new(
            "nodePools",
            Kind::List(&Kind::Object(&AKS_NODE_POOL)),
            "The node pools, in the order in which the user listed them.",
        ),
        Field::new("nodeResourceGroup", Kind::Text, "The resource group of the nodes."),
        Field::new(
            "outboundType",
            Kind::Text,
            "`loadBalancer`, `userDefinedRouting`, `managedNATGateway` or `userAssignedNATGateway`.",
        ),
        Field::new("podCidr", Kind::Text, "The addresses of pods."),
        Field::new("privateCluster", Kind::Bool, "Whether the API server has no public IP address."),
        Field::new("privateDnsZone", Kind::Text, "`system`, `none` or a resource ID; with `privateCluster`."),
        Field::new("resourceGroup", Kind::Text, "The resource group; cannot be changed."),
        Field::new("resourceLocation", Kind::Text, "The region; cannot be changed."),
        Field::new("serviceCidr", Kind::Text, "The addresses of services."),
        Field::new("sshPublicKey", Kind::Text, "Used only together with `linuxAdminUsername`."),
        Field::new("subnet", Kind::Text, "An existing subnet of `virtualNetwork`."),
        Field::new("tags", Kind::TextMap, "Tags of the cluster resource."),
        Field::new("type", Kind::Text, "`/v3/schemas/aksClusterConfigSpec`").read_only(),
        Field::new("userAssignedIdentity", Kind::Text, "A resource ID; with `managedIdentity`."),
        Field::new("virtualNetwork", Kind::Text, "An existing network."),
        Field::new("virtualNetworkResourceGroup", Kind::Text, "The resource group of `virtualNetwork`."),
    ],
);

/// The specification of a node pool.
pub(super) static AKS_NODE_POOL: Schema = Schema::nested(
    "aksNodePool",
    "AksNodePool",
    "The specification of a node pool.",
    "aksNodePools",
    &[
        Field::new("availabilityZones", TEXT_LIST, "The zones: `1`, `2`, `3`."),
        Field::new("count", Kind::Int, "The number of nodes; ignored with autoscaling."),
        Field::new("enableAutoScaling", Kind::Bool, "Whether Azure scales the pool automatically."),
        Field::new("maxCount", Kind::Int, "The maximum number of nodes with autoscaling."),
        Field::new("maxPods", Kind::Int, "The maximum number of pods per node."),
        Field::new("maxSurge", Kind::Text, "The nodes that are added during an upgrade: `1`, `33%`."),
        Field::new("minCount", Kind::Int, "The minimum number of nodes with autoscaling."),
        Field::new("mode", Kind::Text, "`System` or `User`."),
        Field::new("name", Kind::Text, "The name, unique in the cluster."),
        Field::new("nodeLabels", Kind::TextMap, "Labels of the nodes."),
        Field::new("nodeTaints", TEXT_LIST, "Taints of the nodes, `key=value:Effect`."),
        Field::new("orchestratorVersion", Kind::Text, "The Kubernetes version of the pool."),
        Field::new("osDiskSizeGB", Kind::Int, "The size of the OS disk in GiB."),
        Field::new("osDiskType", Kind::Text, "`Managed` or `Ephemeral`."),
        Field::new("osType", Kind::Text, "`Linux`"),
        Field::new("type", Kind::Text, "`/v3/schemas/aksNodePool`").read_only(),
        Field::new("vmSize", Kind::Text, "The VM size, `Standard_D2d_v4`."),
        Field::new("vnetSubnetID", Kind::Text, "The resource ID of the subnet; taken from Azure."),
    ],
);
