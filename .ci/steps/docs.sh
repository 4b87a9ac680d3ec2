#!/usr/bin/env bash
# The documentation of the sources, private items included, has no broken links.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
