#!/usr/bin/env bash
# Checks the dependencies against deny.toml: licences, banned crates and sources.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Uses an installed cargo-deny, or builds one in target/.
export PATH="$PATH:$PWD/target/tools/bin"
if ! cargo deny --version 2>/dev/null; then
    cargo install --quiet --locked --root target/tools --target-dir target/tools/build cargo-deny@0.20.2
    rm -r target/tools/build
fi
cargo deny --locked check --hide-inclusion-graph licenses bans sources
