#!/usr/bin/env bash
# Where the time of a workload goes: dev/bench/profile.sh w1|w2|w3|kf|http DATAFLOW
# Writes target/profile/<workload>.txt (functions by their own time) and, if inferno is installed, <workload>.svg (flame graph).
. "$(dirname "$0")/lib.sh"
workload=$1 program=$2
OUT=$(cd "$BENCH/../.." && pwd)/target/profile
mkdir -p "$OUT"
command -v perf >/dev/null || { say "perf is missing: apt-get install linux-perf"; exit 1; }
command -v inferno-flamegraph >/dev/null || say "no flame graph: cargo install inferno gives the program that draws it"

# Stands where the program would: the same arguments, under perf.
wrapper=$P/out/profiled
cat >"$wrapper" <<EOF
#!/bin/sh
exec perf record -q -F 997 --call-graph dwarf,8192 -o '$P/out/perf.data' -- '$program' "\$@"
EOF
chmod +x "$wrapper"
export DATAFLOW=$wrapper RESULTS=/dev/null PASS=2 P DATA
prepare_data
case $workload in
  http) "$BENCH/pushes.py" || true ;;
  *) "$BENCH/peers/dataflow/run.sh" "$workload" || true ;;
esac
perf report -i "$P/out/perf.data" --no-children --stdio -g none --percent-limit 0.4 2>/dev/null | grep -v '^$' >"$OUT/$workload.txt"
perf report -i "$P/out/perf.data" --no-children --stdio -g none --sort comm 2>/dev/null | grep -v '^#\|^$' >"$OUT/$workload-threads.txt"
if command -v inferno-flamegraph >/dev/null; then
  perf script -i "$P/out/perf.data" 2>/dev/null | inferno-collapse-perf | inferno-flamegraph >"$OUT/$workload.svg"
fi
rm -f "$wrapper" "$P/out/perf.data"
say "$OUT/$workload.txt"
