#!/usr/bin/env bash
# Clients that are made from the API document compile, and get the nine actions from a server. One more language is made
# and only read.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .ci/web/environment.sh

start_sandbox

echo "-- Python"
# A warning is a part of the document that the generator left out.
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

echo "-- Rust, not compiled"
# Its output is shown only when it fails: it names every file.
if ! openapi-generator-cli generate --generator-name rust --input-spec openapi/openapi.json \
    --output "$scratch/rust" >"$scratch/rust.log" 2>&1; then
    cat "$scratch/rust.log" >&2
    exit 1
fi
# rustfmt reads every module, so that what was made is at least the language.
rustfmt --edition 2021 "$scratch/rust/src/lib.rs"
