#!/usr/bin/env bash
# The dependencies keep the rules of deny.toml: licences, unwanted crates, where they come from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# An installed cargo-deny is used; otherwise it is built once into target/.
export PATH="$PATH:$PWD/target/tools/bin"
if ! cargo deny --version 2>/dev/null; then
    cargo install --quiet --locked --root target/tools --target-dir target/tools/build cargo-deny@0.20.2
    rm -r target/tools/build
fi
cargo deny --locked check --hide-inclusion-graph licenses bans sources
