#!/usr/bin/env bash
# DataFlow itself. `dataflow-again` is the same program once more: what differs between the two is noise.
. "$(dirname "$0")/../../lib.sh"

about() { echo "DataFlow | exactly once"; }
install() { [[ -x ${DATAFLOW:-} ]] || { say "DATAFLOW must be the path of the program: \`make bench\` builds it"; exit 1; }; }

# A spec may refer to a password, but hold none and be no reference as a whole.
PGPASSWORD=$(sed -E 's#^[^/]*//[^:]*:([^@]*)@.*#\1#' <<<"$PGURI")
PGURL=$(sed -E 's#^([^/]*//[^:]*:)[^@]*@#\1${env:PGPASSWORD}@#' <<<"$PGURI")
export PGPASSWORD PGURL S3_ID=${S3_USER%%:*} S3_SECRET=${S3_USER#*:}

# Runs the spec of a workload from nothing.
run() { # [options of measure.py]
  rm -rf "$P/out/$PEER-data"
  envsubst <"$HERE/$WORKLOAD.yaml" >"$P/out/$PEER.yaml"
  measured "$WORKLOAD" "$@" -- "$DATAFLOW" run --data-dir "$P/out/$PEER-data" "$P/out/$PEER.yaml"
  rm -rf "$P/out/$PEER-data"
}

w1() { run --count "wc -l < $SINK" --check "$(check lines "$SINK")"; }
w2() { run --count "wc -l < $SINK" --check "$(check mapped "$SINK")"; }
w3() { fresh_table && run --until "$(count_table)" --check "$(check table "'$PGURI'" users)"; }
# A topic counts markers of transactions as records, so those that are committed are counted in the end.
w4() {
  kafka -mk "$OUTTOPIC" -partitions 4 && run --until "$P/gen -kafka $KAFKA -count $OUTTOPIC" \
    --count "$P/gen -kafka $KAFKA -show $OUTTOPIC | tee $SINK | wc -l" --check "$(check lines "$SINK")"
}
ko() { fresh_index && ROWS=$N run --until "$(indexed)" --count "$(count_index)" --check "$(check index "$SEARCH" "$INDEX")"; }
kf() { run --until "wc -l < $SINK" --check "$(check lines "$SINK")"; }
# The last objects wait for no more than two seconds, here and there.
ks() { fresh_bucket && ROWS=$N run --until "$(count_bucket)" --check "$(check bucket "$S3/$BUCKET")"; }
jf() { rows_table && run --count "wc -l < $SINK" --check "$(check lines "$SINK")"; }
pf() { parquet_file && run --count "wc -l < $SINK" --check "$(check lines "$SINK")"; }

dispatch "$@"
