#!/usr/bin/env bash
# Checks the format of the sources.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo fmt --check
