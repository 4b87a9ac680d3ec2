# The tools of the chart's checks: $helm, $kubectl, $kubeconform, and the directory $crds with custom resource definitions.
# Sourced after .ci/web/environment.sh, in the root of the repository. Requires the step web-tools.

chart=deploy/helm/norman-aks

# The tool that web-tools installed, or one in PATH.
tool() { if [[ -x $cache/$1 ]]; then echo "$cache/$1"; else command -v "$1" || { echo "missing: $1" >&2; return 1; }; fi; }
helm="$(tool helm)"
kubectl="$(tool kubectl)"

# kubeconform is built once, with the Go of web-tools; the definitions are part of the Go modules of their APIs.
kubeconform="$cache/go/bin/kubeconform"
crds="$cache/crds"
if [[ ! -x $kubeconform || ! -d $crds ]]; then
    export GOPATH="$cache/go" GOCACHE="$cache/go/build" GOTOOLCHAIN=local GOFLAGS=-modcacherw
    module() { (cd "$scratch" && go mod download -json "$1") | python -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'; }
    (cd "$scratch" && CGO_ENABLED=0 go install github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0)
    mkdir -p "$crds"
    gateway="$(module sigs.k8s.io/gateway-api@v1.4.1)/config/crd/standard"
    operator="$(module github.com/prometheus-operator/prometheus-operator@v0.85.0)/example/prometheus-operator-crd"
    install -m 0644 "$gateway"/*_{gateways,httproutes,referencegrants}.yaml "$operator"/*_{servicemonitors,prometheusrules}.yaml "$crds"
    # The build files are not needed any more.
    rm -rf "$GOCACHE" "$GOPATH/pkg"
fi
