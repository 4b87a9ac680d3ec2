"""Prints a kubeconfig for a cluster of the sandbox server whose file for scripts the variable SANDBOX names:

cluster.py create               makes the cluster, waits until it is active, and prints its maker's
cluster.py join TOKEN ROLE      gives the user of that token the role in it, and prints his
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

sandbox: dict[str, str] = json.loads(Path(os.environ["SANDBOX"]).read_text())


def call(path: str, body: object | None = None, token: str = sandbox["token_key"]) -> Any:
    """A GET, or a POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urlopen(Request(sandbox["api_url"] + path, data, headers), timeout=30) as answer:
        return json.load(answer)


def print_kubeconfig(cluster_id: str, token: str) -> None:
    print(call(f"/v3/clusters/{cluster_id}?action=generateKubeconfig", {}, token)["config"])


def create() -> None:
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
        "clusterName": "for-kubectl",
        "dnsPrefix": "for-kubectl",
        "kubernetesVersion": sandbox["kubernetes_version"],
        "networkPlugin": "azure",
        "nodePools": [pool],
        "resourceGroup": sandbox["resource_group"],
        "resourceLocation": sandbox["location"],
    }
    cluster = call("/v3/clusters", {"name": "for-kubectl", "aksConfig": config})
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


{"create": create, "join": join}[sys.argv[1]](*sys.argv[2:])
