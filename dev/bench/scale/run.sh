#!/usr/bin/env bash
# Measures a node with many pipelines, over a long time, and with a sink that stands still; writes docs/benchmarks.md.
#
#   run.sh [PART…]     fleet latency stopped_sink soak; all if none is named. About an hour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
(($#)) || set -- fleet latency stopped_sink soak
for part in "$@"; do
  echo "== $part"
  python3 "$part.py" --write
done
