#!/usr/bin/env bash
# The sources are formatted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo fmt --check
