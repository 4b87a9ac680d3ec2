#!/usr/bin/env bash
# Runs kubectl through the server, over TLS, with the kubeconfig that the server generates.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .ci/web/environment.sh

start_sandbox
kubectl="$cache/kubectl"
[[ -x $kubectl ]] || kubectl="$(command -v kubectl)"

python .ci/web/cluster.py create >"$scratch/owner"
export KUBECONFIG="$scratch/owner"
"$kubectl" version
# No command may hang.
k() { timeout 60 "$kubectl" "$@"; }
# Prints both values if they differ.
assert_equal() {
    if [[ "$1" != "$2" ]]; then
        printf 'expected equal values:\n%s\n%s\n' "$1" "$2" >&2
        return 1
    fi
}

echo "-- get"
assert_equal "$(k get nodes --no-headers | wc -l)" 2
assert_equal "$(k get nodes --output jsonpath='{.items[*].status.conditions[?(@.type=="Ready")].status}')" "True True"
k get namespace default kube-system
k get pods --all-namespaces

echo "-- apply, get -w"
manifest() {
    cat <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: $1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "example.test/web:1"}]}
YAML
}
manifest 1 | k apply --server-side --validate=false --filename -
timeout 60 "$kubectl" --namespace shop get deployment web -w --no-headers >"$scratch/watched" &
watcher=$!
for _ in {1..300}; do if [[ -s $scratch/watched ]]; then break; fi; sleep 0.1; done
manifest 3 | k apply --server-side --validate=false --filename -
k --namespace shop rollout status deployment/web
for _ in {1..300}; do if grep -q '3/3' "$scratch/watched"; then break; fi; sleep 0.1; done
kill "$watcher" 2>/dev/null || true
wait "$watcher" 2>/dev/null || true
grep '3/3' "$scratch/watched"

echo "-- logs -f"
pod="$(k --namespace shop get pods --output jsonpath='{.items[0].metadata.name}')"
# The stream is endless; two lines are enough.
{ timeout 60 "$kubectl" --namespace shop logs -f "$pod" || true; } | head --lines 2 >"$scratch/logged"
assert_equal "$(wc -l <"$scratch/logged")" 2
cat "$scratch/logged"

echo "-- read-only member"
token="$("${CARGO_TARGET_DIR:-target}/debug/norman-aks" \
    token create --sandbox --data-dir "$scratch/data" --user reader)"
python .ci/web/cluster.py join "$token" read-only >"$scratch/reader"
KUBECONFIG="$scratch/reader" k --namespace shop get pods
if KUBECONFIG="$scratch/reader" k --namespace shop delete pod "$pod" 2>"$scratch/refused"; then exit 1; fi
grep Forbidden "$scratch/refused"

echo "-- delete"
k delete namespace shop
assert_equal "$(k get namespace shop --ignore-not-found)" ""
