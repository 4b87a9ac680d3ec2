#!/usr/bin/env bash
# Runs all tests, on SQLite and PostgreSQL. A skipped PostgreSQL test is a failure here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

NORMAN_AKS_TEST_REQUIRE_POSTGRES=1 cargo test --locked
