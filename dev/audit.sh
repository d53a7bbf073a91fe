#!/usr/bin/env bash
# Known vulnerabilities in dependencies, where the tool and its database can be had. Licences and origins are checked
# without any tool by crates/dataflow/tests/house.rs; both read deny.toml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! cargo deny --version >/dev/null 2>&1; then
  echo "audit.sh: cargo-deny is not installed, so advisories were not checked (cargo install cargo-deny)" >&2
  exit 0
fi
cargo deny check licenses sources bans
if cargo deny fetch >/dev/null 2>&1; then
  cargo deny check advisories
else
  echo "audit.sh: the advisory database can't be reached, so advisories were not checked" >&2
fi
