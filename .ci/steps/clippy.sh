#!/usr/bin/env bash
# Denies warnings, in tests and benchmarks too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo clippy --locked --all-targets -- -D warnings
# The features of the container image.
cargo clippy --locked --package norman-aks --no-default-features -- -D warnings
