#!/usr/bin/env bash
# The documentation of the sources, private items included, has no broken links.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# It is read with its private items, so links to them lead somewhere.
RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" \
    cargo doc --locked --no-deps --document-private-items
