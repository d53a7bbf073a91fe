#!/usr/bin/env bash
# Runs a command with real servers up, and afterwards stops those that it started itself, whatever happened.
#
#   dev/with-services.sh NAME… -- COMMAND…
set -euo pipefail
services=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/services/services.sh

names=()
while (($#)) && [[ $1 != -- ]]; do names+=("$1"); shift; done
[[ ${1:-} == -- && $# -gt 1 ]] || { echo "usage: with-services.sh NAME… -- COMMAND…" >&2; exit 2; }
shift

started=()
command=
stop_started() {
  local code=$?
  trap - EXIT INT TERM
  if [[ -n $command ]] && kill -0 "$command" 2>/dev/null; then
    kill -TERM "$command" || true
    wait "$command" || true
  fi
  # services.sh stops a server by the process id that it noted when it started it.
  if ((${#started[@]})); then "$services" down "${started[@]}" || true; fi
  exit "$code"
}
trap stop_started EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

before=$("$services" status)
for name in "${names[@]}"; do
  if ! grep -q "^$name: up" <<<"$before"; then started+=("$name"); fi
  "$services" up "$name"
done

# In the background, so that a signal ends the wait and the trap can run.
DATAFLOW_REQUIRE_SERVICES=1 "$@" &
command=$!
code=0
wait "$command" || code=$?
command=
exit "$code"
