#!/usr/bin/env bash
# Tests the Helm chart and the agent's manifest with a real kube-apiserver: `--dry-run=server` accepts the rendered objects in a
# namespace that enforces the strictest Pod Security level, and the command that removes the nine paths removes nothing else.
#
#   KUBE_APISERVER=/path/to/kube-apiserver tests/real-kubernetes-chart.sh
#
# tests/kubernetes/server.sh describes how to get the program. Also requires etcd (in PATH, or its path in ETCD),
# openssl, cargo, and the tools that `.ci/run tools web-tools chart` installs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${KUBE_APISERVER:?set it to the path of kube-apiserver; see tests/kubernetes/server.sh}"
source .ci/web/environment.sh
source .ci/chart/environment.sh
source tests/kubernetes/server.sh
# Stops the sandbox server first, because finish waits for all processes.
trap 'clean_up; finish' EXIT
require "$KUBE_APISERVER" "$ETCD" openssl cargo
start_kubernetes
export KUBECONFIG="$work/localhost.kubeconfig"
"$kubectl" version

# Repeated, because the API server may not yet serve a kind that was just defined.
"$kubectl" create --filename "$crds" --output name
"$kubectl" wait --for condition=Established crd --all --timeout 60s >/dev/null

strict='{"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}'
for namespace in norman-aks cattle-system; do
    "$kubectl" create --save-config --filename - <<<"{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"$namespace\", \"labels\": $strict}}"
done
# No controller creates these objects here. Admission rejects pods with an unknown service account or class.
for account in norman-aks/default norman-aks/norman-aks cattle-system/cattle; do
    "$kubectl" create serviceaccount --save-config --namespace "${account%/*}" "${account#*/}"
done

# Violations in a Deployment's pods are only warnings, so the pods are sent as well.
pods_of() { # file
    python - "$1" <<'PY'
import sys
import yaml

for document in yaml.safe_load_all(open(sys.argv[1])):
    if document and document["kind"] == "Deployment":
        template = document["spec"]["template"]
        metadata = {**template.get("metadata", {}), "name": "pod", "namespace": document["metadata"]["namespace"]}
        print("---")
        print(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}))
PY
}
# Treats warnings (Pod Security, unknown fields) as errors.
dry_run() { # file
    "$kubectl" apply --dry-run=server --warnings-as-errors --filename "$1"
    pods_of "$1" | "$kubectl" apply --dry-run=server --warnings-as-errors --filename -
}

mkdir "$scratch/rendered"
for values in "$chart"/ci/*.yaml; do
    echo "-- $(basename "$values")"
    file="$scratch/rendered/$(basename "$values")"
    "$helm" template norman-aks "$chart" --namespace norman-aks --kube-version 1.34 --values "$values" >"$file"
    dry_run "$file"
done

echo "-- manifest of the agent"
start_sandbox
python .ci/web/cluster.py manifest >"$scratch/agent.yaml"
# The namespace in the manifest has no labels; applying it keeps the existing ones.
dry_run "$scratch/agent.yaml"

echo "-- a pod with more rights is rejected"
pods_of "$scratch/agent.yaml" | sed 's/runAsNonRoot: true/runAsNonRoot: false/' >"$scratch/root.yaml"
if "$kubectl" apply --dry-run=server --filename "$scratch/root.yaml" 2>"$scratch/root.log"; then exit 1; fi
grep -o 'violates PodSecurity "restricted:latest"' "$scratch/root.log"

echo "-- removing the paths"
everything() {
    "$kubectl" get --namespace norman-aks --output name \
        "$("$kubectl" api-resources --namespaced --verbs list,delete --output name | grep -v -E '^(events|leases)' | paste -sd,)" 2>/dev/null | sort
}
"$kubectl" delete serviceaccount --namespace norman-aks norman-aks
"$helm" install norman-aks "$chart" --namespace norman-aks --values "$chart/ci/beside-rancher.yaml" >"$scratch/notes"
command="$(grep -o 'kubectl .* delete ingress .*' "$scratch/notes")"
everything >"$scratch/before"
echo "$command"
eval "\"$kubectl\" ${command#kubectl}"
everything >"$scratch/after"
removed="$(comm -23 "$scratch/before" "$scratch/after")"
[[ $removed == ingress.networking.k8s.io/norman-aks-rancher && -z "$(comm -13 "$scratch/before" "$scratch/after")" ]]
echo "removed: $removed; $(wc -l <"$scratch/after") objects left"
# An upgrade with this value does not create it again; an upgrade without the value does.
"$helm" upgrade norman-aks "$chart" --namespace norman-aks --values "$chart/ci/beside-rancher.yaml" --set exposure.type=none >/dev/null
everything | grep -v secret/sh.helm | diff <(grep -v secret/sh.helm "$scratch/after") -
"$helm" upgrade norman-aks "$chart" --namespace norman-aks --values "$chart/ci/beside-rancher.yaml" >/dev/null
everything | grep -v secret/sh.helm | diff <(grep -v secret/sh.helm "$scratch/before") -

echo "-- uninstalling keeps the volume"
"$helm" uninstall norman-aks --namespace norman-aks >/dev/null
"$helm" install norman-aks "$chart" --namespace norman-aks --values "$chart/ci/standalone-sqlite.yaml" >/dev/null
"$helm" uninstall norman-aks --namespace norman-aks >/dev/null
[[ "$(everything)" == persistentvolumeclaim/norman-aks$'\n'serviceaccount/default ]]
echo "passed against $("$KUBE_APISERVER" --version)"
