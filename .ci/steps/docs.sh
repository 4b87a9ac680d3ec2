#!/usr/bin/env bash
# Checks the links in the documentation of the sources, private items included.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Links to private items are valid, because the documentation includes them.
RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" \
    cargo doc --locked --no-deps --document-private-items
