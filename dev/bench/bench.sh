#!/usr/bin/env bash
# What `make bench` runs: installs the peers, makes the data, has all take turns PASSES times, and writes the tables of docs/benchmarks.md.
#
#   PASSES=3  PEERS="dataflow redpanda-connect …"  WORKLOADS="w1 w2 w3 w4 kf ko ks jf pf http journal"
#   DATAFLOW, THROUGHPUT   programs of ours: the server, and the journal's example `throughput`
. "$(dirname "$0")/lib.sh"
PASSES=${PASSES:-3}
PEERS=${PEERS:-dataflow redpanda-connect flink kafka-connect pathway bytewax duckdb copy bulk dataflow-again}
WORKLOADS=${WORKLOADS:-w1 w2 w3 w4 kf ko ks jf pf http journal}

export P DATA DATAFLOW THROUGHPUT PASS
python3.11 -c '' || { say "python3.11 is missing: Flink and Pathway have packages for it"; exit 1; }
prepare_data
for peer in $PEERS; do "$BENCH/peers/$peer/run.sh" install; done

# A run has a file of its own: ratios count within it alone.
RESULTS=$P/results-$(date +%Y%m%dT%H%M%S).jsonl
export RESULTS
for peer in $PEERS; do
  python3 -c 'import json, sys; print(json.dumps({"about": sys.argv[1], "words": sys.argv[2]}))' \
    "$peer" "$("$BENCH/peers/$peer/run.sh" about)" >>"$RESULTS"
done

failed=
for PASS in $(seq "$PASSES"); do
  for workload in $WORKLOADS; do
    case $workload in
      http) "$BENCH/pushes.py" || failed+=" http" ;;
      journal) "$THROUGHPUT" "$P/out" 3 | sed "s/^{/{\"workload\":\"journal\",\"pass\":$PASS,/" | tee -a "$RESULTS" ;;
      *)
        for peer in $PEERS; do
          script=$BENCH/peers/$peer/run.sh
          [[ " $("$script" workloads) " == *" $workload "* ]] || continue
          "$script" "$workload" || failed+=" $peer-$workload"
        done
        ;;
    esac
  done
done

python3 "$BENCH/report.py" "$RESULTS" "$BENCH/../../docs/benchmarks.md"
say "results: $RESULTS; tables: docs/benchmarks.md"
[[ -z $failed ]] || { say "went wrong:$failed"; exit 1; }
