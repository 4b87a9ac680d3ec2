#!/usr/bin/env bash
# Generates clients from the API document, compiles them, and calls the nine actions and the catalog of a server with them. The
# Rust client is generated and parsed, but not compiled.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .ci/web/environment.sh

for tool in javac java mvn; do
    command -v "$tool" >/dev/null || { echo "missing: $tool; run .ci/run tools, which installs it" >&2; exit 1; }
done
start_sandbox

# Generates a client. The generator's output, which lists every file, is shown only if it fails.
generate() {
    local generator="$1" directory="$2"
    shift 2
    if ! openapi-generator-cli generate --generator-name "$generator" --input-spec openapi/openapi.json \
        --output "$directory" --global-property apiTests=false,modelTests=false,apiDocs=false,modelDocs=false \
        "$@" >"$scratch/$generator.log" 2>&1; then
        cat "$scratch/$generator.log" >&2
        exit 1
    fi
}

echo "-- Python"
# The generator warns about parts of the document that it omits.
openapi-python-client generate --path openapi/openapi.json --meta none --fail-on-warning \
    --output-path "$scratch/norman_client"
MYPYPATH="$scratch" mypy --config-file .ci/web/mypy.ini --cache-dir "$scratch/mypy" --package norman_client
MYPYPATH="$scratch" mypy --config-file .ci/web/mypy.ini --cache-dir "$scratch/mypy" .ci/web/client.py
PYTHONPATH="$scratch" PYTHONDONTWRITEBYTECODE=1 python .ci/web/client.py

echo "-- TypeScript"
mkdir "$scratch/ts"
ln -s "$modules" "$scratch/ts/node_modules"
cp .ci/web/client.ts .ci/web/tsconfig.json "$scratch/ts"
echo '{"type": "module"}' >"$scratch/ts/package.json"
node "$modules/openapi-typescript/bin/cli.js" openapi/openapi.json --output "$scratch/ts/api.d.ts"
(cd "$scratch/ts" && node node_modules/typescript/bin/tsc --project . && node out/client.js)

echo "-- Go"
mkdir "$scratch/go"
cp .ci/web/client.go .ci/web/go.mod .ci/web/go.sum "$scratch/go"
generate go "$scratch/go/norman" --additional-properties=packageName=norman,withGoMod=false,enumClassPrefix=true
(
    # The build cache is kept, because Go's standard library takes longer to compile than the client.
    export GOPATH="$cache/go-client" GOCACHE="$cache/go-client/build" GOTOOLCHAIN=local GOFLAGS="-modcacherw -mod=readonly" CGO_ENABLED=0
    cd "$scratch/go"
    go build -o client .
    ./client
)

echo "-- Java"
generate java "$scratch/java" --library native \
    --additional-properties=invokerPackage=norman,apiPackage=norman.api,modelPackage=norman.model,useSingleRequestParameter=true,openApiNullable=false
javac -nowarn -Xlint:none -d "$scratch/classes" -cp "$cache/java/*" \
    .ci/web/Client.java $(find "$scratch/java/src/main/java" -name '*.java')
java -cp "$scratch/classes:$cache/java/*" Client

echo "-- Rust, not compiled"
generate rust "$scratch/rust"
# rustfmt parses every module, so that the output is at least valid Rust.
rustfmt --edition 2021 "$scratch/rust/src/lib.rs"
