#!/usr/bin/env bash
# Fuzzes with libFuzzer on the stable toolchain. Only crates of the workspace are instrumented, so their dependencies
# are those that `make test` has built.
#
#   dev/fuzz.sh run SECONDS [TARGET…]     so long each; without names all of them
#   dev/fuzz.sh keep [TARGET…]            copies what reached new code to fuzz/corpus, as few files as will do
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '5,6s/^# *//p' "$0" >&2; exit 2; }

case ${1:-} in
  run) seconds=${2:?"$(usage)"}; shift 2 ;;
  keep) seconds=; shift ;;
  *) usage ;;
esac
(($#)) || set -- $(ls fuzz/corpus)

target_dir=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
found=$target_dir/fuzz
# The packages and features of `make test`, so that nothing but our own crates is built for it.
fuzzer=$(RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/instrumented cargo test --workspace --locked --no-run --test libfuzzer \
  --features dataflow/fault-points,dataflow-fuzz/libfuzzer --message-format json-render-diagnostics |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')

failed=0
for target in "$@"; do
  corpus=fuzz/corpus/$target log=$found/$target.log
  mkdir -p "$found/$target"
  if [[ $seconds ]]; then
    arguments=(-max_total_time="$seconds" -max_len=4096 -timeout=60 -print_final_stats=1 "$found/$target" "$corpus")
    [[ ! -e fuzz/dictionaries/$target ]] || arguments+=(-dict="fuzz/dictionaries/$target")
  else
    arguments=(-merge=1 -use_counters=0 "$corpus" "$found/$target")
  fi
  if DATAFLOW_FUZZ_TARGET=$target "$fuzzer" -artifact_prefix="$found/$target-" "${arguments[@]}" 2>"$log"; then
    echo "fuzz.sh: $target: $(sed -n 's/^stat::number_of_executed_units: *\(.*\)/\1 inputs, all fine/p; s/^MERGE-OUTER: \(.* new files\).*/\1/p' "$log")"
  else
    tail -n 40 "$log" >&2
    echo "fuzz.sh: $target: keep this input as fuzz/corpus/$target/WHAT-IT-SHOWS, and repair what it shows" >&2
    failed=1
  fi
done
exit "$failed"
