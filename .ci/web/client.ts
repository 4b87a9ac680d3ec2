// Calls the nine actions and the catalog of a sandbox server with the client that openapi-typescript and openapi-fetch generate
// from the API document. The variable SANDBOX is the path of the server's sandbox.json.

import createClient from "openapi-fetch";
import type { paths } from "./api.js";

declare const process: { env: Record<string, string | undefined> };

interface Sandbox {
  api_url: string;
  token_key: string;
  credential_id: string;
  subscription_id: string;
  client_id: string;
  client_secret: string;
  location: string;
  kubernetes_version: string;
  kubernetes_version_2: string;
  resource_group: string;
  virtual_network: string;
  subnet: string;
  imported_cluster_name: string;
}

function check(condition: boolean, what: string, seen: unknown): void {
  if (!condition) throw new Error(`${what}: ${JSON.stringify(seen)}`);
}

/** The body of a success. */
function body<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${answer.response.url} ${answer.response.status}: ${JSON.stringify(answer.error)}`);
  }
  return answer.data;
}

const { readFileSync } = (await import("node:fs" as string)) as {
  readFileSync(path: string, encoding: "utf8"): string;
};
const sandbox = JSON.parse(readFileSync(process.env["SANDBOX"] ?? "", "utf8")) as Sandbox;
const client = createClient<paths>({
  baseUrl: sandbox.api_url,
  headers: { Authorization: `Bearer ${sandbox.token_key}` },
});
const stored = { cloudCredentialId: sandbox.credential_id };
const there = { ...stored, region: sandbox.location };
const inline = {
  subscriptionId: sandbox.subscription_id,
  clientId: sandbox.client_id,
  clientSecret: sandbox.client_secret,
};

const good = await client.POST("/meta/aksCheckCredentials", { body: inline });
check(good.response.status === 200, "a good credential", good.error);
const bad = await client.POST("/meta/aksCheckCredentials", { body: { ...inline, clientSecret: "wrong" } });
check(bad.response.status === 401, "a bad credential", bad.response.status);
check(bad.error?.code === "AADSTS7000215", "its code", bad.error);

const clusters = body(await client.GET("/meta/aksClusters", { params: { query: stored } }));
const found = clusters.find((cluster) => cluster.clusterName === sandbox.imported_cluster_name);
check(found?.resourceGroup === sandbox.resource_group && found.location === sandbox.location, "clusters", clusters);

const locations = body(await client.GET("/meta/aksLocations", { params: { query: stored } }));
check(locations.some((region) => region.name === "eastus" && region.displayName === "East US"), "locations", locations);

const regions = body(await client.GET("/meta/aksRegions", { params: { query: stored } }));
check(regions.some((region) => region.name === "eastus" && region.availabilityZones), "regions", regions);

const versions = body(await client.GET("/meta/aksVersions", { params: { query: there } }));
check(
  versions.indexOf(sandbox.kubernetes_version) >= 0 &&
    versions.indexOf(sandbox.kubernetes_version) < versions.indexOf(sandbox.kubernetes_version_2),
  "versions",
  versions,
);

const sizes = body(await client.GET("/meta/aksVMSizes", { params: { query: there } }));
check(sizes.length > 100 && sizes.includes("Standard_D2s_v5"), "sizes", sizes.length);

const sizesV2 = body(await client.GET("/meta/aksVMSizesV2", { params: { query: there } }));
const size = sizesV2.find((size) => size.Name === "Standard_D2s_v5");
check(size?.AcceleratedNetworkingSupported === true && size.AvailabilityZones.length > 0, "sizes V2", size);

const networks = body(await client.GET("/meta/aksVirtualNetworks", { params: { query: there } }));
const network = networks.find((network) => network.name === sandbox.virtual_network);
check(network?.subnets?.some((subnet) => subnet.name === sandbox.subnet) === true, "networks", networks);

// The same with the credential in the body.
const posted = body(await client.POST("/meta/aksVersions", { body: { ...inline, region: sandbox.location } }));
check(posted.join() === versions.join(), "versions by POST", posted);

const cluster = body(
  await client.POST("/v3/clusters", {
    body: {
      name: "from-typescript",
      aksConfig: {
        imported: true,
        clusterName: sandbox.imported_cluster_name,
        resourceGroup: sandbox.resource_group,
        resourceLocation: sandbox.location,
        azureCredentialSecret: sandbox.credential_id,
        kubernetesVersion: sandbox.kubernetes_version,
      },
    },
  }),
);
const upgrades = body(
  await client.GET("/meta/aksUpgrades", { params: { query: { ...stored, clusterId: cluster.id } } }),
);
check(upgrades.currentVersion === sandbox.kubernetes_version, "the current version", upgrades);
check(
  upgrades.upgrades.some(({ version, enabled }) => version === sandbox.kubernetes_version_2 && enabled),
  "upgrades",
  upgrades,
);
const path = { params: { path: { id: cluster.id } } };
// Whether the cluster reaches a state within a minute; undefined means that it is removed.
async function reachesState(state: string | undefined): Promise<boolean> {
  for (let attempt = 0; attempt < 300; attempt += 1) {
    const seen = await client.GET("/v3/clusters/{id}", path);
    if (seen.data?.state === state) return true;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return false;
}
check(await reachesState("active"), "an imported cluster that is active", cluster);
check(body(await client.DELETE("/v3/clusters/{id}", path)).state === "removing", "a cluster that goes", cluster);
check(await reachesState(undefined), "a cluster that has gone", cluster);
const gone = await client.GET("/v3/clusters/{id}", path);
const refusal = gone.error !== undefined && "code" in gone.error ? gone.error.code : undefined;
check(gone.response.status === 404 && refusal === "NotFound", "a cluster that is gone", gone.error);

const tooMany = body(await client.GET("/api/v1/vm-sizes", { params: { query: { ...there, q: "d2s_v5", count: 1000 } } }));
check(tooMany.data[0]?.verdict === "unusable", "a size that is too many", tooMany);
check(tooMany.data[0]?.reasons[0]?.code === "quotaShort", "its reason", tooMany);
const page = body(await client.GET("/api/v1/vm-sizes", { params: { query: { ...there, limit: 2, sort: "-vcpus" } } }));
check(page.data.length === 2 && typeof page.next === "string", "a page", page);

const wanted = { ...stored, region: "eastus,westus", vmSize: "Standard_D2s_v3", zones: 3 };
const ranked = body(await client.GET("/api/v1/regions", { params: { query: wanted } }));
// The response is a list; the other schema is a line of a stream.
const best = "data" in ranked ? ranked.data : [];
check(ranked.progress.done === 2 && best[0]?.name === "eastus", "regions", ranked);
check(best[1]?.verdict === "unusable", "a region without zones", ranked);

const minors = body(
  await client.GET("/api/v1/kubernetes-versions", { params: { query: { ...there, preview: false } } }),
);
const patches = minors.data.flatMap((minor) => minor.patches);
check(
  patches.some((patch) => patch.version === sandbox.kubernetes_version && patch.upgrades.length > 0),
  "versions with upgrades",
  minors,
);

const checked = body(
  await client.GET("/api/v1/credentials/{id}/check", {
    params: { path: { id: sandbox.credential_id }, query: { resourceGroup: [sandbox.resource_group] } },
  }),
);
check(checked.verdict !== "unusable" && checked.login.status === "accepted", "a credential", checked);
check(
  checked.operations.some(
    ({ action, status }) => action === "Microsoft.ContainerService/managedClusters/write" && status === "allowed",
  ),
  "operations",
  checked,
);
const wrong = body(await client.POST("/api/v1/credentials/check", { body: { ...inline, clientSecret: "wrong" } }));
check(wrong.verdict === "unusable" && wrong.login.aadsts[0] === 7000215, "a wrong secret", wrong);

// What is wrong is typed too.
const missing = await client.POST("/meta/aksVersions", { body: inline });
const mistake = missing.error !== undefined && "error" in missing.error ? missing.error.error : undefined;
check(missing.response.status === 400 && mistake === "region is required", "no region", missing.error);
console.log("the TypeScript client gets all nine actions and the catalog");
