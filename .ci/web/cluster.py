"""Commands for a sandbox server. The variable SANDBOX is the path of the server's sandbox.json.

cluster.py create               creates a cluster, waits until it is active, and prints the creator's kubeconfig
cluster.py join TOKEN ROLE      gives the user of the token a role in this cluster, and prints the user's kubeconfig
cluster.py manifest             creates a cluster and prints the manifest of its agent
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

sandbox: dict[str, str] = json.loads(Path(os.environ["SANDBOX"]).read_text())


def call(path: str, body: object | None = None, token: str = sandbox["token_key"], method: str | None = None) -> Any:
    """Sends a GET, or a POST if there is a body, unless the method is set."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urlopen(Request(sandbox["api_url"] + path, data, headers, method=method), timeout=30) as response:
        return json.load(response)


def print_kubeconfig(cluster_id: str, token: str) -> None:
    print(call(f"/v3/clusters/{cluster_id}?action=generateKubeconfig", {}, token)["config"])


def post_cluster(name: str) -> Any:
    pool = {
        "name": "system",
        "mode": "System",
        "count": 2,
        "maxPods": 60,
        "osDiskSizeGB": 128,
        "osDiskType": "Managed",
        "osType": "Linux",
        "vmSize": "Standard_D4s_v5",
    }
    config = {
        "azureCredentialSecret": sandbox["credential_id"],
        "clusterName": name,
        "dnsPrefix": name,
        "kubernetesVersion": sandbox["kubernetes_version"],
        "networkPlugin": "azure",
        "nodePools": [pool],
        "resourceGroup": sandbox["resource_group"],
        "resourceLocation": sandbox["location"],
    }
    return call("/v3/clusters", {"name": name, "aksConfig": config})


def create() -> None:
    cluster = post_cluster("for-kubectl")
    for _ in range(600):
        if cluster["state"] == "active":
            return print_kubeconfig(cluster["id"], sandbox["token_key"])
        time.sleep(0.2)
        cluster = call(f"/v3/clusters/{cluster['id']}")
    sys.exit(f"the cluster does not get active: {cluster['transitioningMessage']}")


def join(token: str, role: str) -> None:
    (user,) = call("/v3/users?me=true", token=token)["data"]
    (cluster,) = call("/v3/clusters?name=for-kubectl")["data"]
    member = {"clusterId": cluster["id"], "userId": user["id"], "roleTemplateId": role}
    call("/v3/clusterroletemplatebindings", member)
    print_kubeconfig(cluster["id"], token)


def manifest() -> None:
    call("/v3/settings/server-url", {"value": "https://aks.example.org"}, method="PUT")
    cluster = post_cluster("for-manifest")
    (token,) = call(f"/v3/clusterregistrationtokens?clusterId={cluster['id']}")["data"]
    path = f"/v3/import/{token['token']}_{cluster['id']}.yaml"
    with urlopen(sandbox["api_url"] + path, timeout=30) as response:
        print(response.read().decode(), end="")


{"create": create, "join": join, "manifest": manifest}[sys.argv[1]](*sys.argv[2:])
