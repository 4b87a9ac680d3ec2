"""Writes JSON schemas in the layout that kubeconform reads, strict: schemas.py DIRECTORY CRDS VERSION...

Those of Kubernetes are from the package kubernetes-validate, those of custom resources from their definitions.
"""

import json
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

target, crds, versions = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]


def forbid_unknown(schema: Any) -> Any:
    """A structural schema whose objects have no fields but the known ones, as an API server prunes them."""
    if isinstance(schema, list):
        return [forbid_unknown(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: forbid_unknown(value) for key, value in schema.items()}
    closed = isinstance(schema.get("properties"), dict) and "type" in schema
    if closed and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema["additionalProperties"] = False
    if schema.pop("x-kubernetes-int-or-string", False):
        schema = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    return schema


for version in versions:
    source = Path(kubernetes_validate.__file__).parent / f"kubernetes-json-schema/v{version}-local-strict"
    (target / f"v{version}").mkdir(parents=True)
    for file in source.glob("*.json"):
        # They refer to each other below https://kubernetes.io; here they are files of one directory.
        schema = json.loads(file.read_text().replace('"/api/_definitions.json', '"_definitions.json'))
        schema.pop("$id", None)
        (target / f"v{version}" / file.name).write_text(json.dumps(schema))

for file in crds.glob("*.yaml"):
    for definition in yaml.safe_load_all(file.read_text()):
        if not definition or definition["kind"] != "CustomResourceDefinition":
            continue
        group, kind = definition["spec"]["group"], definition["spec"]["names"]["kind"].lower()
        for version in definition["spec"]["versions"]:
            schema = forbid_unknown(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            (target / group).mkdir(exist_ok=True)
            (target / group / f"{kind}_{version['name']}.json").write_text(json.dumps(schema))
