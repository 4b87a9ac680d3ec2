// Calls the nine actions and the catalog of a sandbox server with the client that openapi-generator generates from the API
// document. The variable SANDBOX is the path of the server's sandbox.json.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;
import norman.ApiClient;
import norman.ApiException;
import norman.api.AksActionsApi;
import norman.api.CatalogApi;
import norman.api.ClustersApi;
import norman.model.*;

final class Client {
    interface Call {
        void run() throws ApiException;
    }

    private static final ObjectMapper JSON = new ObjectMapper();

    private final JsonNode sandbox;
    private final AksActionsApi actions;
    private final CatalogApi catalog;
    private final ClustersApi clusters;
    private final String stored;
    private final String region;

    Client(JsonNode sandbox, String token) {
        this.sandbox = sandbox;
        ApiClient client = new ApiClient();
        client.updateBaseUri(text("api_url"));
        client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + token));
        actions = new AksActionsApi(client);
        catalog = new CatalogApi(client);
        clusters = new ClustersApi(client);
        stored = text("credential_id");
        region = text("location");
    }

    public static void main(String[] arguments) throws Exception {
        JsonNode sandbox = JSON.readTree(Path.of(System.getenv("SANDBOX")).toFile());
        Client client = new Client(sandbox, sandbox.get("token_key").asText());
        client.getActions();
        client.getUpgrades();
        client.getCatalog();
        // A missing credential, and an unknown caller.
        expectError(404, "NotFound", () -> client.catalog.listRegions(
                CatalogApi.APIListRegionsRequest.newBuilder().cloudCredentialId("cattle-global-data:cc-zzzzz").build()));
        Client stranger = new Client(sandbox, "token-x:y");
        expectError(401, null, () -> stranger.actions.getAksLocations(stranger.stored, null));
        System.out.println("the Java client gets all nine actions and the catalog");
    }

    private String text(String name) {
        return sandbox.get(name).asText();
    }

    private static void check(boolean condition, String what, Object seen) {
        if (!condition) {
            throw new AssertionError(what + ": " + seen);
        }
    }

    private static <T> T find(List<T> list, String what, Predicate<T> is) {
        return list.stream().filter(is).findFirst().orElseThrow(() -> new AssertionError(what + ": " + list));
    }

    /** The body of the error of a call, which must have the status and code. */
    private static JsonNode expectError(int status, String code, Call call) throws Exception {
        try {
            call.run();
        } catch (ApiException error) {
            check(error.getCode() == status, "status " + status, error);
            JsonNode body = JSON.readTree(error.getResponseBody());
            check(code == null || body.get("code").asText().equals(code), "the code " + code, body);
            return body;
        }
        throw new AssertionError("status " + status + " expected");
    }

    private CredentialBody inline(String secret) {
        return new CredentialBody().subscriptionId(text("subscription_id")).clientId(text("client_id")).clientSecret(secret);
    }

    private void getActions() throws Exception {
        actions.postAksCheckCredentials(inline(text("client_secret")));
        expectError(401, "AADSTS7000215", () -> actions.postAksCheckCredentials(inline("wrong")));

        AksCluster known = find(actions.getAksClusters(stored, null), "clusters",
                cluster -> cluster.getClusterName().equals(text("imported_cluster_name")));
        check(known.getResourceGroup().equals(text("resource_group")) && known.getLocation().equals(region), "its place", known);
        find(actions.getAksLocations(stored, null), "locations", location -> location.getDisplayName().equals("East US"));
        find(actions.getAksRegions(stored, null), "regions",
                one -> one.getName().equals("eastus") && one.getAvailabilityZones());
        List<String> versions = actions.getAksVersions(stored, region, null);
        int older = versions.indexOf(text("kubernetes_version"));
        check(older >= 0 && older < versions.indexOf(text("kubernetes_version_2")), "versions", versions);
        List<String> sizes = actions.getAksVmSizes(stored, region, null);
        check(sizes.size() > 100 && sizes.contains("Standard_D2s_v5"), "sizes", sizes.size());
        AksVmSize size = find(actions.getAksVmSizesV2(stored, region, null), "sizes V2",
                one -> one.getName().equals("Standard_D2s_v5"));
        check(size.getAcceleratedNetworkingSupported() && !size.getAvailabilityZones().isEmpty(), "a size V2", size);
        AksVirtualNetwork network = find(actions.getAksVirtualNetworks(stored, null, region), "networks",
                one -> one.getName().equals(text("virtual_network")));
        find(network.getSubnets(), "subnets", subnet -> subnet.getName().equals(text("subnet")));

        // The same with the credential in the body.
        CredentialAndRegion body = new CredentialAndRegion()
                .subscriptionId(text("subscription_id")).clientId(text("client_id")).clientSecret(text("client_secret"));
        JsonNode unasked = expectError(400, null, () -> actions.postAksVersions(body));
        check(unasked.get("error").asText().equals("region is required"), "no region", unasked);
        check(actions.postAksVersions(body.region(region)).equals(versions), "versions by POST", versions);
    }

    private void getUpgrades() throws Exception {
        AksClusterConfigSpec config = new AksClusterConfigSpec().imported(true)
                .clusterName(text("imported_cluster_name")).resourceGroup(text("resource_group")).resourceLocation(region)
                .azureCredentialSecret(stored).kubernetesVersion(text("kubernetes_version"));
        Cluster cluster = clusters.createCluster(new ClusterInput().name("from-java").aksConfig(config));
        AksUpgrades upgrades = actions.getAksUpgrades(stored, cluster.getId(), null);
        check(upgrades.getCurrentVersion().equals(text("kubernetes_version")), "the current version", upgrades);
        check(find(upgrades.getUpgrades(), "upgrades",
                one -> one.getVersion().equals(text("kubernetes_version_2"))).getEnabled(), "an upgrade", upgrades);
        waitForState(cluster.getId(), "active");
        check(clusters.deleteCluster(cluster.getId(), null).getState().equals("removing"), "a cluster that goes", cluster);
        waitForState(cluster.getId(), "gone");
    }

    /** Waits up to a minute until the cluster reaches a state; "gone" means that it is removed. */
    private void waitForState(String id, String wanted) throws Exception {
        for (int attempt = 0; attempt < 300; attempt++) {
            if (state(id).equals(wanted)) {
                return;
            }
            Thread.sleep(200);
        }
        throw new AssertionError("the cluster does not become " + wanted);
    }

    private String state(String id) throws ApiException {
        try {
            return clusters.getCluster(id).getState();
        } catch (ApiException error) {
            if (error.getCode() == 404) {
                return "gone";
            }
            throw error;
        }
    }

    private void getCatalog() throws Exception {
        VmSizeList sizes = catalog.listVmSizes(CatalogApi.APIListVmSizesRequest.newBuilder()
                .cloudCredentialId(stored).region(region).q("d2s_v5").count(1000L).build());
        CatalogVmSize size = find(sizes.getData(), "sizes", one -> one.getName().equals("Standard_D2s_v5"));
        check(size.getVerdict() == CatalogVerdict.UNUSABLE, "a size that is too many", size);
        find(size.getReasons(), "its reason", reason -> reason.getCode().equals("quotaShort") && !reason.getRemedy().isEmpty());
        VmSizeList page = catalog.listVmSizes(CatalogApi.APIListVmSizesRequest.newBuilder()
                .cloudCredentialId(stored).region(region).limit(2).sort("-vcpus").build());
        check(page.getData().size() == 2 && page.getNext() != null, "a page", page);

        RegionList regions = catalog.listRegions(CatalogApi.APIListRegionsRequest.newBuilder()
                .cloudCredentialId(stored).region("eastus,westus").vmSize("Standard_D2s_v3").zones(3).build());
        check(regions.getProgress().getDone() == 2, "regions", regions);
        check(regions.getData().get(0).getName().equals("eastus"), "the best region", regions);
        check(regions.getData().get(1).getVerdict() == CatalogVerdict.UNUSABLE, "a region without zones", regions);

        KubernetesVersionList minors = catalog.listKubernetesVersions(CatalogApi.APIListKubernetesVersionsRequest.newBuilder()
                .cloudCredentialId(stored).region(region).preview(false).build());
        find(minors.getData(), "versions", minor -> minor.getPatches().stream().anyMatch(
                patch -> patch.getVersion().equals(text("kubernetes_version")) && !patch.getUpgrades().isEmpty()));

        CredentialCheckResult report = catalog.checkStoredCredential(stored, List.of(text("resource_group")));
        check(report.getVerdict() != CatalogVerdict.UNUSABLE, "a credential", report);
        check(report.getLogin().getStatus() == LoginStatus.ACCEPTED, "its login", report);
        find(report.getOperations(), "operations", one -> one.getStatus() == OperationStatus.ALLOWED
                && one.getAction().equals("Microsoft.ContainerService/managedClusters/write"));
        CredentialCheckRequest wrong = new CredentialCheckRequest()
                .subscriptionId(text("subscription_id")).clientId(text("client_id")).clientSecret("wrong");
        report = catalog.checkCredential(wrong, null);
        check(report.getVerdict() == CatalogVerdict.UNUSABLE, "a wrong secret", report);
        check(report.getLogin().getAadsts().contains(7000215L), "its code", report);
    }
}
