#!/usr/bin/env bash
# The committed API document is the one that the program prints.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# In a variable, so that a program that fails is not a document that differs.
printed="$(cargo run --quiet --locked -- openapi)"
diff --unified openapi/openapi.json <(printf '%s\n' "$printed")
