"""Checks what the chart renders, and what it rejects: check.py HELM CHART RENDERED

RENDERED has a file for each set of values in the chart's directory ci, with the same name.
"""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

helm, chart, rendered = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
failures: list[str] = []


def check(name: str, condition: bool, shown: object = "") -> None:
    if not condition:
        failures.append(f"{name}: {shown}")


def objects(file: str) -> dict[str, Any]:
    """The objects of a rendered file, as kind/name."""
    found = {}
    for document in yaml.safe_load_all((rendered / file).read_text()):
        if document:
            key = f"{document['kind']}/{document['metadata']['name']}"
            check(f"{file}: one {key}", key not in found)
            found[key] = document
    return found


def pod(found: dict[str, Any]) -> Any:
    return found["Deployment/norman-aks"]["spec"]["template"]["spec"]


def environment(found: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in pod(found)["containers"][0]["env"]}


def kinds(found: dict[str, Any]) -> set[str]:
    return {key.split("/")[0] for key in found}


everywhere = {"Deployment", "Service", "Pod"}
files = sorted(file.name for file in (chart / "ci").iterdir())
check("as many rendered files", files == sorted(file.name for file in rendered.iterdir()), files)
for file in files:
    found = objects(file)
    check(f"{file}: kinds", everywhere <= kinds(found), kinds(found))
    check(f"{file}: no rights in the cluster", not {kind for kind in kinds(found) if "Role" in kind})
    check(f"{file}: no Secret is made", "Secret" not in kinds(found))
    for name, spec in [("server", pod(found)), ("test", found["Pod/norman-aks-test"]["spec"])]:
        check(f"{file}: {name} has no token", spec["automountServiceAccountToken"] is False)
        check(f"{file}: {name} is not root", spec["securityContext"]["runAsNonRoot"] is True)
        container = spec["containers"][0]["securityContext"]
        check(f"{file}: {name} cannot write", container["readOnlyRootFilesystem"] is True)
        check(f"{file}: {name} has no capabilities", container["capabilities"] == {"drop": ["ALL"]})
    names = [entry["name"] for entry in pod(found)["containers"][0]["env"]]
    check(f"{file}: variables are unique", len(names) == len(set(names)), names)
    selector = found["Deployment/norman-aks"]["spec"]["selector"]["matchLabels"]
    check(f"{file}: Service selects the pods", found["Service/norman-aks"]["spec"]["selector"] == selector)
    check(f"{file}: Service does not select the test", not selector.items() <= found["Pod/norman-aks-test"]["metadata"]["labels"].items())
    replicas = found["Deployment/norman-aks"]["spec"]["replicas"]
    check(f"{file}: budget with replicas only", (replicas > 1) == ("PodDisruptionBudget" in kinds(found)), replicas)
    metrics = environment(found)["NORMAN_AKS_METRICS_LISTEN"].rpartition(":")[2]
    check(f"{file}: metrics are not for clients", metrics not in json.dumps(found["Service/norman-aks"]))

# SQLite: two servers cannot share the file.
for file, claim in [("standalone-sqlite.yaml", "norman-aks"), ("standalone-sqlite-secret.yaml", "database")]:
    found = objects(file)
    check(f"{file}: one replica", found["Deployment/norman-aks"]["spec"]["replicas"] == 1)
    check(f"{file}: old pod ends first", found["Deployment/norman-aks"]["spec"]["strategy"] == {"type": "Recreate"})
    volumes = {volume["name"]: volume for volume in pod(found)["volumes"]}
    check(f"{file}: volume", volumes["data"].get("persistentVolumeClaim") == {"claimName": claim}, volumes)
    check(f"{file}: temporary files", environment(found).get("SQLITE_TMPDIR") == "/data")
    check(f"{file}: no database URL", "NORMAN_AKS_DATABASE_URL_FILE" not in environment(found))
    check(f"{file}: key of the Secret", ("secrets" in volumes) == ("NORMAN_AKS_ENCRYPTION_KEY_FILE" in environment(found)))
claim = objects("standalone-sqlite.yaml")["PersistentVolumeClaim/norman-aks"]
check("claim: one pod", claim["spec"]["accessModes"] == ["ReadWriteOncePod"])
check("claim: kept", claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"})

# PostgreSQL: replicas that find each other.
found = objects("standalone-postgresql.yaml")
check("postgresql: two replicas", found["Deployment/norman-aks"]["spec"]["replicas"] == 2)
secret = pod(found)["volumes"][0]["secret"]
check("postgresql: keys", [item["key"] for item in secret["items"]] == ["database-url", "encryption.keys", "bootstrap-token"])
check("postgresql: replicas connect", environment(found)["NORMAN_AKS_INTERNAL_ADDRESS"] == "$(POD_IP):8445")
check("postgresql: URL", environment(found)["NORMAN_AKS_SERVER_URL"] == "https://aks.example.org")
check("postgresql: ingress has TLS", found["Ingress/norman-aks"]["spec"]["tls"][0]["hosts"] == ["aks.example.org"])

# Alongside Rancher: no state, and exactly the nine paths of its host.
paths = {
    f"/meta/aks{name}"
    for name in "CheckCredentials Clusters Locations Regions Upgrades Versions VirtualNetworks VMSizes VMSizesV2".split()
}
for file in [file for file in files if file.startswith("beside-rancher")]:
    found = objects(file)
    check(f"{file}: no claim", "PersistentVolumeClaim" not in kinds(found))
    stateful = [name for name in environment(found) if any(word in name for word in ("DATABASE", "ENCRYPTION", "BOOTSTRAP", "INTERNAL"))]
    check(f"{file}: no state", stateful == [], stateful)
    check(f"{file}: Rancher", environment(found)["NORMAN_AKS_RANCHER_HOST"] == "rancher.example.org")
    check(f"{file}: proxies", environment(found)["NORMAN_AKS_TRUSTED_PROXIES"] == "10.42.0.0/16")
    probe = pod(found)["containers"][0]["readinessProbe"]["httpGet"]
    check(f"{file}: readiness is the server's own", probe == {"path": "/readyz", "port": "health"}, probe)
    if "sandbox" in file:
        check(f"{file}: sandbox", pod(found)["containers"][0]["args"] == ["serve", "--sandbox"])
        check(f"{file}: one Azure", found["Deployment/norman-aks"]["spec"]["replicas"] == 1)
    else:
        check(f"{file}: no sandbox", pod(found)["containers"][0]["args"] == ["serve"])
        check(f"{file}: two replicas", found["Deployment/norman-aks"]["spec"]["replicas"] == 2)
        check(f"{file}: no storage", all("configMap" in volume for volume in pod(found).get("volumes", [])))
    if "gateway" in file:
        route = found["HTTPRoute/norman-aks-rancher"]
        check(f"{file}: route beside the Gateway", route["metadata"]["namespace"] == "cattle-system")
        check(f"{file}: grant", "ReferenceGrant/norman-aks" in found)
        check(f"{file}: host", route["spec"]["hostnames"] == ["rancher.example.org"])
        matches = [match["path"] for rule in route["spec"]["rules"] for match in rule["matches"]]
        exact = {match["value"] for match in matches if match["type"] == "Exact"}
    else:
        ingress = found["Ingress/norman-aks-rancher"]["spec"]
        check(f"{file}: no TLS of its own", "tls" not in ingress)
        (rule,) = ingress["rules"]
        check(f"{file}: host", rule["host"] == "rancher.example.org")
        matches = rule["http"]["paths"]
        exact = {match["path"] for match in matches if match["pathType"] == "Exact"}
    check(f"{file}: nine exact paths", exact == paths and len(matches) == 9, matches)
    catalog = [name for name in found if name.endswith("-catalog")]
    host = environment(found).get("NORMAN_AKS_CATALOG_HOST")
    check(f"{file}: catalog has a host of its own", (len(catalog) == 1) == (host == "catalog.example.org"), catalog)
    if catalog:
        spec = json.dumps(found[catalog[0]]["spec"])
        check(f"{file}: catalog is reached by its host", "catalog.example.org" in spec and "/api/v1" in spec, spec)
    policy = json.dumps(found["NetworkPolicy/norman-aks"])
    check(f"{file}: policy admits Rancher", '"app": "rancher"' in policy and "cattle-system" in policy)

# One source of the alerts.
rules = yaml.safe_load((chart / "files/prometheus-rules.yaml").read_text())
check("alerts", objects("beside-rancher-options.yaml")["PrometheusRule/norman-aks"]["spec"] == rules)


def template(values: object) -> subprocess.CompletedProcess[str]:
    command = [helm, "template", "norman-aks", str(chart), "--namespace", "norman-aks", "--values", "-"]
    return subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, check=False)


def values_of(file: str, changes: dict[str, Any]) -> Any:
    """The values of a file with some of them replaced, each named by its path."""
    values = yaml.safe_load((chart / "ci" / file).read_text())
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return values


# Taking the paths out changes nothing else.
before = objects("beside-rancher.yaml")
after = template(values_of("beside-rancher.yaml", {"exposure.type": "none"}))
left = {f"{document['kind']}/{document['metadata']['name']}": document for document in yaml.safe_load_all(after.stdout) if document}
gone = before.pop("Ingress/norman-aks-rancher")
check("without the paths", left == before and gone is not None, set(before) ^ set(left))

# Values that are rejected, with the words that the error has to contain.
sets = {"p": "standalone-postgresql.yaml", "s": "standalone-sqlite.yaml", "r": "beside-rancher.yaml"}
for file, changes, words in [
    ("r", {"mode": "besiderancher"}, ["mode"]),
    ("r", {"rancher.host": ""}, ["rancher.host is not set", "host name of Rancher"]),
    ("r", {"rancher.hots": "x"}, ["hots"]),
    ("r", {"rancher.url": "http://rancher.cattle-system"}, ["rancher", "url"]),
    ("r", {"rancher.caChecksum": "abc"}, ["caChecksum"]),
    ("r", {"rancher.ca": "-----BEGIN CERTIFICATE-----", "rancher.caChecksum": "0" * 64}, ["set one of them"]),
    ("r", {"rancher.decisionSeconds": -1}, ["decisionSeconds"]),
    ("r", {"rancher.catalog.host": "https://catalog.example.org"}, ["catalog"]),
    ("r", {"rancher.sandbox": True, "replicas": 2}, ["replicas", "use 1"]),
    ("r", {"trustedProxies": []}, ["trustedProxies is empty", "ingress controller"]),
    ("r", {"trustedProxies": ["ingress"]}, ["trustedProxies"]),
    ("r", {"exposure.type": "loadBalancer"}, ["exposure.type loadBalancer", "ingress, gateway or none"]),
    ("r", {"exposure.ingress.tlsSecretName": "x"}, ["Rancher's Ingress has the certificate"]),
    ("r", {"exposure.ingress.annotations": {"cert-manager.io/issuer": "x"}}, ["cert-manager.io/issuer", "remove it"]),
    ("r", {"exposure.ingress.annotations": {"nginx.ingress.kubernetes.io/use-regex": "true"}}, ["use-regex", "remove it"]),
    ("r", {"image.repository": ""}, ["image.repository is not set"]),
    ("p", {"rancher.sandbox": True}, ["rancher.sandbox is only supported in mode besideRancher"]),
    ("p", {"standalone.secret.name": ""}, ["standalone.secret.name", "encryption.keys"]),
    ("p", {"exposure.host": ""}, ["exposure.host is not set"]),
    ("p", {"exposure.type": "gateway"}, ["exposure.gateway.parentRefs is empty"]),
    ("p", {"exposure.type": "loadBalancer"}, ["standalone.tls.secretName is not set"]),
    ("p", {"replica": 3}, ["replica"]),
    ("s", {"replicas": 2}, ["replicas", "postgresql"]),
    ("s", {"standalone.persistence.accessMode": "ReadWriteMany"}, ["accessMode"]),
]:
    result = template(values_of(sets[file], changes))
    check(f"{changes} is rejected with {words}", result.returncode != 0 and all(word in result.stderr for word in words), result.stderr)


def leaves(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict) and value:
        return [leaf for key, child in value.items() for leaf in leaves(child, f"{path}.{key}" if path else key)]
    return [path]


# Each value is described and has a schema, and nothing else is.
schema = json.loads((chart / "values.schema.json").read_text())


def schema_leaves(part: Any, path: str = "") -> list[str]:
    if "properties" not in part or part.get("additionalProperties") is not False:
        return [path]
    return [leaf for key, child in part["properties"].items() for leaf in schema_leaves(child, f"{path}.{key}" if path else key)]


free = {"resources", "networkPolicy.rancher.podLabels"}
cut = lambda names: {next((name for name in free if leaf.startswith(name)), leaf) for leaf in names}
values = cut(leaves(copy.deepcopy(yaml.safe_load((chart / "values.yaml").read_text()))))
described = cut(schema_leaves(schema)) - {"global"}
check("values and schema", values == described, values ^ described)
table = (chart / "README.md").read_text().partition("\n## Values\n")[2]
rows = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
check("values and README", values == rows, values ^ rows)

for failure in failures:
    print(failure, file=sys.stderr)
print(f"{len(files)} sets of values")
sys.exit(1 if failures else 0)
