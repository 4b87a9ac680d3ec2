#!/usr/bin/env bash
# All tests, on SQLite and on PostgreSQL; a PostgreSQL test that is skipped is a failure here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

NORMAN_AKS_TEST_REQUIRE_POSTGRES=1 cargo test --locked
