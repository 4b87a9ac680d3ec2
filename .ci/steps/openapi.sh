#!/usr/bin/env bash
# Checks that the committed API document is the one that the program prints, and that two validators accept it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .ci/web/environment.sh

# In a variable, so that a failure of the program is not reported as a difference.
printed="$(cargo run --quiet --locked -- openapi)"
diff --unified openapi/openapi.json <(printf '%s\n' "$printed")

openapi-spec-validator openapi/openapi.json
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
    node "$modules/@redocly/cli/bin/cli.js" lint --config .ci/web/redocly.yaml openapi/openapi.json
