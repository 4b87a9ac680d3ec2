#!/usr/bin/env bash
# Makes the secrets that compose.yaml and the Kubernetes manifests read, in the folder `secrets` beside this script:
# the database's password and address, the first encryption key, an administrator's token. Makes only what is missing,
# so it can be run again. Keep encryption.keys as carefully as the database: neither is of use without the other.
set -euo pipefail

folder="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/secrets"
mkdir -p "$folder"
# The folder keeps others out. The files are mounted into containers and read there by the containers' own users: what
# only the server reads is given to its user where this runs as root, and is readable otherwise (the server then warns).
chmod 0700 "$folder"

hex() { od -An -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }

make() { # name, content
    if [[ -e "$folder/$1" ]]; then
        echo "kept  $folder/$1"
    else
        printf '%s\n' "$2" >"$folder/$1"
        chmod 0444 "$folder/$1"
        if [[ $1 != postgres-password && $(id -u) == 0 ]]; then
            chown 65532:65532 "$folder/$1"
            chmod 0400 "$folder/$1"
        fi
        echo "made  $folder/$1"
    fi
}

make postgres-password "$(hex 24)"
password="$(cat "$folder/postgres-password")"
make database-url "postgres://norman_aks:$password@postgres:5432/norman_aks"
make encryption.keys "key-$(hex 4):$(head -c 32 /dev/urandom | base64 | tr -d '\n')"
make bootstrap-token "token-bootstrap:$(hex 32)"
