# A real kube-apiserver on loopback, for the scripts tests/real-kubernetes*.sh. Sourced in the root of the repository.
#
# To get the programs: etcd is Debian's package `etcd-server`. kube-apiserver and kube-controller-manager are in any release
# of Kubernetes, or build from the Go module k8s.io/kubernetes, in a module whose go.mod replaces every staging module
# k8s.io/<name> (those that k8s.io/kubernetes requires as v0.0.0) by the release v0.<minor>.<patch>:
#   go build -ldflags "-X k8s.io/component-base/version.gitVersion=v1.<minor>.<patch>" k8s.io/kubernetes/cmd/kube-apiserver
#
# Requires neither root nor a network. There is no kubelet, but objects, rights, watches, admission and tokens are real.
# Everything is in a temporary directory that is removed at the end; KEEP=1 keeps it, with the logs.

ETCD=${ETCD:-etcd}

# Exits if a program is missing.
require() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || { echo "$program does not exist or is not executable" >&2; exit 2; }
    done
}

work=$(mktemp -d)
pids=()
finish() {
    # Kill: without etcd, an orderly stop of the others would take minutes, and no data is needed.
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    if [[ -n "${KEEP:-}" ]]; then echo "logs and data are in $work"; else rm -rf "$work"; fi
}
trap finish EXIT

free_port() {
    local port
    while :; do
        port=$((RANDOM % 20000 + 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}
wait_for() { # name, log, command
    local name=$1 log=$2
    shift 2
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.2
    done
    echo "$name is not ready after two minutes:" >&2
    tail -n 20 "$log" >&2
    exit 1
}

# A name in the certificate besides localhost. It has a suffix of AKS, because norman-aks connects to no other names.
host=real-5a4d.hcp.eastus.azmk8s.io
pki=$work/pki
mkdir "$pki"
authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout "$pki/$1.key" -out "$pki/$1.pem" 2>/dev/null
}
certificate() { # name, subject, extensions
    printf '%s\n' "$3" >"$pki/$1.ext"
    openssl req -newkey rsa:2048 -nodes -subj "$2" -keyout "$pki/$1.key" -out "$pki/$1.csr" 2>/dev/null
    openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.pem" -CAkey "$pki/ca.key" -CAcreateserial -days 2 \
        -extfile "$pki/$1.ext" -out "$pki/$1.pem" 2>/dev/null
}
kubeconfig() { # address of the server
    local encoded
    encoded() { base64 -w0 <"$pki/$1"; }
    cat <<KUBECONFIG
apiVersion: v1
kind: Config
clusters:
- name: real
  cluster: {server: "$1", certificate-authority-data: $(encoded ca.pem)}
users:
- name: clusterAdmin_group_real
  user: {client-certificate-data: $(encoded admin.pem), client-key-data: $(encoded admin.key)}
contexts:
- name: real-admin
  context: {cluster: real, user: clusterAdmin_group_real}
current-context: real-admin
KUBECONFIG
}

# Starts etcd and kube-apiserver, and leaves the kubeconfig of an administrator in $work/localhost.kubeconfig.
start_kubernetes() {
    authority ca
    certificate server /CN=kube-apiserver "subjectAltName=DNS:$host,DNS:localhost,IP:127.0.0.1
extendedKeyUsage=serverAuth"
    certificate admin /O=system:masters/CN=masterclient extendedKeyUsage=clientAuth
    openssl genrsa -out "$pki/accounts.key" 2048 2>/dev/null

    local etcd_port peer_port
    etcd_port=$(free_port) peer_port=$(free_port) port=$(free_port)
    "$ETCD" --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" \
        --advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$peer_port" \
        --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" --initial-cluster "default=http://127.0.0.1:$peer_port" \
        --unsafe-no-fsync >"$work/etcd.log" 2>&1 &
    pids+=($!)
    wait_for etcd "$work/etcd.log" curl -sf "http://127.0.0.1:$etcd_port/health"

    "$KUBE_APISERVER" --etcd-servers="http://127.0.0.1:$etcd_port" --bind-address=127.0.0.1 --secure-port="$port" \
        --advertise-address=192.0.2.1 --endpoint-reconciler-type=none --service-cluster-ip-range=10.0.0.0/16 \
        --authorization-mode=Node,RBAC --anonymous-auth=false --allow-privileged=true \
        --client-ca-file="$pki/ca.pem" --tls-cert-file="$pki/server.pem" --tls-private-key-file="$pki/server.key" \
        --service-account-issuer="https://$host" --service-account-key-file="$pki/accounts.key" \
        --service-account-signing-key-file="$pki/accounts.key" >"$work/kube-apiserver.log" 2>&1 &
    pids+=($!)
    ask() { curl -sf --cacert "$pki/ca.pem" --cert "$pki/admin.pem" --key "$pki/admin.key" "https://localhost:$port$1"; }
    wait_for kube-apiserver "$work/kube-apiserver.log" ask /readyz
    kubeconfig "https://localhost:$port" >"$work/localhost.kubeconfig"
}
