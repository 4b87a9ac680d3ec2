#!/usr/bin/env bash
# Installs the missing tools of the other steps: Rust's components, a C compiler, PostgreSQL, Python, Chromium, a Java
# compiler and Maven.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo --non-interactive "$@"
    else
        echo "missing: ${packages[*]}; install them, or run this as root once" >&2
        exit 1
    fi
}

has_postgres() {
    command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
has_postgres || packages+=(postgresql)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)
command -v chromium >/dev/null || packages+=(chromium)
command -v javac >/dev/null || packages+=(default-jdk-headless)
command -v mvn >/dev/null || packages+=(maven)
if ((${#packages[@]} > 0)); then
    as_root apt-get update --quiet
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends "${packages[@]}"
fi

if ! command -v cargo >/dev/null; then
    echo "missing: Rust; see https://rustup.rs" >&2
    exit 1
fi
cargo fmt --version 2>/dev/null || rustup component add rustfmt
cargo clippy --version 2>/dev/null || rustup component add clippy
rustc --version
has_postgres
chromium --version 2>/dev/null
javac -version
mvn --version
