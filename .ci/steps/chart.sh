#!/usr/bin/env bash
# Checks the Helm chart: each set of values in its directory ci passes the linter, renders the required objects, and uses only
# fields that Kubernetes defines; invalid values are rejected. Also validates the agent's manifest and lints the Dockerfile.
# tests/real-kubernetes-chart.sh sends the manifests to a real API server.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .ci/web/environment.sh
source .ci/chart/environment.sh

# The oldest version that the chart supports, and the versions that Kubernetes maintains.
versions=(1.27.0 1.31.0 1.32.0 1.33.0 1.34.0)

echo "-- Dockerfile"
hadolint --config .ci/chart/hadolint.yaml Dockerfile

echo "-- lint, render"
rendered="$scratch/rendered"
for version in "${versions[@]}"; do
    mkdir -p "$rendered/v$version"
    for values in "$chart"/ci/*.yaml; do
        "$helm" lint --strict --quiet --kube-version "$version" --values "$values" "$chart"
        "$helm" template norman-aks "$chart" --namespace norman-aks --kube-version "$version" --values "$values" \
            >"$rendered/v$version/$(basename "$values")"
    done
done
python .ci/chart/check.py "$helm" "$chart" "$rendered/v${versions[-1]}"

echo "-- manifest of the agent"
start_sandbox
python .ci/web/cluster.py manifest >"$scratch/agent.yaml"
for version in "${versions[@]}"; do cp "$scratch/agent.yaml" "$rendered/v$version"; done

echo "-- kubeconform"
python .ci/chart/schemas.py "$scratch/schemas" "$crds" "${versions[@]}"
validate() { # version, files
    "$kubeconform" -strict -summary -kubernetes-version "$1" \
        -schema-location "$scratch/schemas/{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}.json" \
        -schema-location "$scratch/schemas/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json" "${@:2}"
}
for version in "${versions[@]}"; do
    echo "$version"
    validate "$version" "$rendered/v$version"
    # The check itself must be able to fail.
    for object in Deployment HTTPRoute; do
        sed "/^kind: $object/,/^spec:/ s/^spec:/spec:\n  unknownField: 1/" "$rendered/v$version/beside-rancher-gateway.yaml" \
            >"$scratch/wrong.yaml"
        if validate "$version" "$scratch/wrong.yaml" >"$scratch/wrong.log"; then
            echo "an unknown field of a $object passes with Kubernetes $version" >&2
            exit 1
        fi
    done
done
