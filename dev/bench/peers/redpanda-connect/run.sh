#!/usr/bin/env bash
# Redpanda Connect 4.31.0 (engine: benthos 4.33.0), of its public components. That version is what the Go module proxy serves.
. "$(dirname "$0")/../../lib.sh"
PROGRAM=$P/redpanda-connect

about() { echo "Redpanda Connect 4.31 | at least once"; }
install() {
  [[ -x $PROGRAM ]] || { say "building Redpanda Connect (minutes)"; (cd "$HERE" && go build -trimpath -o "$PROGRAM" .); }
}

# The batch sizes are the quickest of those tried, per workload.
run() { # BATCH [options of measure.py]
  export BATCH=$1
  shift
  measured "$WORKLOAD" "$@" -- "$PROGRAM" run "$HERE/$WORKLOAD.yaml"
}

w1() { run 100 --count "wc -l < $SINK" --check "$(check lines "$SINK")"; }
w2() { run 100 --count "wc -l < $SINK" --check "$(check mapped "$SINK")"; }
w3() { fresh_table && run 1000 --until "$(count_table)" --check "$(check table "'$PGURI'" users)"; }
w4() { kafka -mk "$OUTTOPIC" -partitions 4 && run 100 --until "$P/gen -kafka $KAFKA -count $OUTTOPIC"; }
ks() {
  export S3_ID=${S3_USER%%:*} S3_SECRET=${S3_USER#*:}
  fresh_bucket && ROWS=$N run 100 --until "$(count_bucket)" --check "$(check bucket "$S3/$BUCKET")"
}
jf() { rows_table && run 100 --count "wc -l < $SINK" --check "$(check lines "$SINK")"; }

dispatch "$@"
