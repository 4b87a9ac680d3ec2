#!/usr/bin/env bash
# The dependencies keep the rules of deny.toml; crates that come in several versions are listed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo test --locked --test it dependencies:: -- --nocapture
