#!/usr/bin/env bash
# Runs the tests of members' rights (tests/it/member_rights) with a real kube-apiserver.
#
#   KUBE_APISERVER=/path/to/kube-apiserver KUBE_CONTROLLER_MANAGER=/path/to/kube-controller-manager tests/real-kubernetes.sh
#
# tests/kubernetes/server.sh describes how to get the programs. Also requires etcd (in PATH, or its path in ETCD),
# openssl and cargo. Arguments are passed to the tests, for example `--nocapture`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${KUBE_APISERVER:?set it to the path of kube-apiserver; see tests/kubernetes/server.sh}"
: "${KUBE_CONTROLLER_MANAGER:?set it to the path of kube-controller-manager; it makes the service accounts}"
source tests/kubernetes/server.sh
require "$KUBE_APISERVER" "$KUBE_CONTROLLER_MANAGER" "$ETCD" openssl cargo
start_kubernetes

controllers_port=$(free_port)
"$KUBE_CONTROLLER_MANAGER" --kubeconfig="$work/localhost.kubeconfig" --leader-elect=false --bind-address=127.0.0.1 \
    --secure-port="$controllers_port" --service-account-private-key-file="$pki/accounts.key" --root-ca-file="$pki/ca.pem" \
    --controllers=clusterrole-aggregation-controller,deployment-controller,garbage-collector-controller,namespace-controller,replicaset-controller,root-ca-certificate-publisher-controller,serviceaccount-controller,serviceaccount-token-controller \
    >"$work/kube-controller-manager.log" 2>&1 &
pids+=($!)
wait_for kube-controller-manager "$work/kube-controller-manager.log" ask /api/v1/namespaces/default/serviceaccounts/default

# The test resolves the name to loopback.
kubeconfig "https://$host:443" >"$work/admin.kubeconfig"
export NORMAN_AKS_TEST_KUBECONFIG=$work/admin.kubeconfig NORMAN_AKS_TEST_KUBERNETES=127.0.0.1:$port
cargo test --test it member_rights::real -- --ignored --nocapture "$@"
echo "passed against $("$KUBE_APISERVER" --version)"
