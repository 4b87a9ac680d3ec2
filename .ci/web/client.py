"""Calls the nine actions and the catalog of a sandbox server with the client that openapi-python-client generates from the API
document. The variable SANDBOX is the path of the server's sandbox.json."""

import json
import os
import time
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from norman_client import AuthenticatedClient
from norman_client.api.aks_actions import (
    get_aks_clusters,
    get_aks_locations,
    get_aks_regions,
    get_aks_upgrades,
    get_aks_versions,
    get_aks_virtual_networks,
    get_aks_vm_sizes,
    get_aks_vm_sizes_v2,
    post_aks_check_credentials,
    post_aks_versions,
)
from norman_client.api.catalog import (
    check_credential,
    check_stored_credential,
    list_kubernetes_versions,
    list_regions,
    list_vm_sizes,
)
from norman_client.api.clusters import create_cluster, delete_cluster, get_cluster
from norman_client.models import (
    AksClusterConfigSpec,
    AksUpgrades,
    CatalogVerdict,
    CheckRefusal,
    Cluster,
    ClusterInput,
    CredentialAndRegion,
    CredentialBody,
    CredentialCheckRequest,
    CredentialCheckResult,
    KubernetesVersionList,
    LoginStatus,
    MetaError,
    NormanError,
    OperationStatus,
    RegionList,
    VmSizeList,
)

T = TypeVar("T")


def expect(kind: type[T], response: object) -> T:
    """The response, which must have the type."""
    assert isinstance(response, kind), f"{kind.__name__} expected: {response}"
    return response


sandbox: dict[str, str] = json.loads(Path(os.environ["SANDBOX"]).read_text())
client = AuthenticatedClient(base_url=sandbox["api_url"], token=sandbox["token_key"], raise_on_unexpected_status=True)
stored = sandbox["credential_id"]
region = sandbox["location"]
version, newer = sandbox["kubernetes_version"], sandbox["kubernetes_version_2"]


def inline(secret: str) -> CredentialBody:
    return CredentialBody(
        subscription_id=sandbox["subscription_id"], client_id=sandbox["client_id"], client_secret=secret
    )


good = post_aks_check_credentials.sync_detailed(client=client, body=inline(sandbox["client_secret"]))
assert good.status_code == HTTPStatus.OK and good.content == b"", good
bad = post_aks_check_credentials.sync_detailed(client=client, body=inline("wrong"))
assert bad.status_code == HTTPStatus.UNAUTHORIZED, bad
assert expect(CheckRefusal, bad.parsed).code == "AADSTS7000215", bad

clusters = expect(list, get_aks_clusters.sync(client=client, cloud_credential_id=stored))
[known] = [cluster for cluster in clusters if cluster.cluster_name == sandbox["imported_cluster_name"]]
assert (known.resource_group, known.location) == (sandbox["resource_group"], region), known

locations = expect(list, get_aks_locations.sync(client=client, cloud_credential_id=stored))
assert "East US" in [location.display_name for location in locations], locations

regions = expect(list, get_aks_regions.sync(client=client, cloud_credential_id=stored))
assert [one.availability_zones for one in regions if one.name == "eastus"] == [True], regions

versions = expect(list, get_aks_versions.sync(client=client, cloud_credential_id=stored, region=region))
assert versions.index(version) < versions.index(newer), versions

sizes = expect(list, get_aks_vm_sizes.sync(client=client, cloud_credential_id=stored, region=region))
assert len(sizes) > 100 and "Standard_D2s_v5" in sizes, sizes

sizes_v2 = expect(list, get_aks_vm_sizes_v2.sync(client=client, cloud_credential_id=stored, region=region))
[size] = [size for size in sizes_v2 if size.name == "Standard_D2s_v5"]
assert size.accelerated_networking_supported and size.availability_zones, size

networks = expect(list, get_aks_virtual_networks.sync(client=client, cloud_credential_id=stored, region=region))
[network] = [network for network in networks if network.name == sandbox["virtual_network"]]
assert sandbox["subnet"] in [subnet.name for subnet in expect(list, network.subnets)], network
assert None in [network.subnets for network in networks], networks

body = CredentialAndRegion.from_dict(inline(sandbox["client_secret"]).to_dict())
unasked = post_aks_versions.sync_detailed(client=client, body=body)
assert unasked.status_code == HTTPStatus.BAD_REQUEST, unasked
assert expect(MetaError, unasked.parsed).error == "region is required", unasked
body.region = region
assert post_aks_versions.sync(client=client, body=body) == versions

config = AksClusterConfigSpec(
    imported=True,
    cluster_name=sandbox["imported_cluster_name"],
    resource_group=sandbox["resource_group"],
    resource_location=region,
    azure_credential_secret=stored,
    kubernetes_version=version,
)
cluster = expect(
    Cluster, create_cluster.sync(client=client, body=ClusterInput(name="from-python", aks_config=config))
)
upgrades = expect(
    AksUpgrades, get_aks_upgrades.sync(client=client, cloud_credential_id=stored, cluster_id=cluster.id)
)
assert upgrades.current_version == version, upgrades
assert [one.enabled for one in upgrades.upgrades if one.version == newer] == [True], upgrades


def becomes(state: str | None) -> bool:
    """Whether the cluster reaches a state within a minute; None means that it is removed."""
    for _ in range(300):
        seen = get_cluster.sync(cluster.id, client=client)
        if (seen.state if isinstance(seen, Cluster) else None) == state:
            return True
        time.sleep(0.2)
    return False


assert becomes("active")
assert expect(Cluster, delete_cluster.sync(cluster.id, client=client)).state == "removing"
assert becomes(None)
gone = get_cluster.sync_detailed(cluster.id, client=client)
assert gone.status_code == HTTPStatus.NOT_FOUND and expect(NormanError, gone.parsed).code == "NotFound", gone

too_many = expect(
    VmSizeList,
    list_vm_sizes.sync(client=client, cloud_credential_id=stored, region=region, q="d2s_v5", count=1000),
)
assert [one.verdict for one in too_many.data] == [CatalogVerdict.UNUSABLE], too_many
assert ["quotaShort"] == [reason.code for reason in too_many.data[0].reasons if reason.remedy][:1], too_many
page = expect(
    VmSizeList,
    list_vm_sizes.sync(client=client, cloud_credential_id=stored, region=region, limit=2, sort="-vcpus"),
)
assert len(page.data) == 2 and page.next_, page

ranked = expect(
    RegionList,
    list_regions.sync(
        client=client, cloud_credential_id=stored, region="eastus,westus", vm_size="Standard_D2s_v3", zones=3
    ),
)
assert ranked.progress.done == 2 and ranked.data[0].name == "eastus", ranked
assert ranked.data[1].verdict == CatalogVerdict.UNUSABLE, ranked

minors = expect(
    KubernetesVersionList,
    list_kubernetes_versions.sync(client=client, cloud_credential_id=stored, region=region, preview=False),
)
patches = {patch.version: patch.upgrades for minor in minors.data for patch in minor.patches}
assert patches[version], minors

report = expect(
    CredentialCheckResult,
    check_stored_credential.sync(stored, client=client, resource_group=[sandbox["resource_group"]]),
)
assert report.verdict != CatalogVerdict.UNUSABLE and report.login.status == LoginStatus.ACCEPTED, report
allowed = [one.action for one in report.operations if one.status == OperationStatus.ALLOWED]
assert "Microsoft.ContainerService/managedClusters/write" in allowed, report
wrong = CredentialCheckRequest(
    subscription_id=sandbox["subscription_id"], client_id=sandbox["client_id"], client_secret="wrong"
)
report = expect(CredentialCheckResult, check_credential.sync(client=client, body=wrong))
assert report.verdict == CatalogVerdict.UNUSABLE and report.login.aadsts == [7000215], report

# A missing credential, and an unknown caller.
other = get_aks_locations.sync_detailed(client=client, cloud_credential_id="cattle-global-data:cc-zzzzz")
assert other.status_code == HTTPStatus.UNPROCESSABLE_ENTITY and isinstance(other.parsed, MetaError), other
stranger = AuthenticatedClient(base_url=sandbox["api_url"], token="token-x:y", raise_on_unexpected_status=True)
refused = get_aks_locations.sync_detailed(client=stranger, cloud_credential_id=stored)
assert refused.status_code == HTTPStatus.UNAUTHORIZED and refused.parsed is not None, refused
print("the Python client gets all nine actions and the catalog")
