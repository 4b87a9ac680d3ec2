#!/usr/bin/env bash
# No warnings, in tests and benchmarks either.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo clippy --locked --all-targets -- -D warnings
