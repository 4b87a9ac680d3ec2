#!/usr/bin/env bash
# Checks the API page in a real browser.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .ci/web/environment.sh

start_sandbox

# Node searches for packages in the directory of the script.
cp .ci/web/page.mjs "$scratch"
ln -s "$modules" "$scratch/node_modules"
CHROMIUM="$(command -v chromium)" PROFILE="$scratch/profile" node "$scratch/page.mjs"
