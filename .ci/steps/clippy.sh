#!/usr/bin/env bash
# No warnings, in tests and benchmarks either.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo clippy --locked --all-targets -- -D warnings
# As the container image has it.
cargo clippy --locked --package norman-aks --no-default-features -- -D warnings
