#!/usr/bin/env bash
# Bytewax 0.21.1, two workers, no recovery store. W5 comes out wrong: its windows lose records of partitions that are read unevenly.
. "$(dirname "$0")/../../lib.sh"
ENV=$P/bytewax

about() { echo "Bytewax 0.21 | none configured"; }
install() {
  [[ -d $ENV ]] || { say "installing Bytewax"; python3.11 -m venv "$ENV" && "$ENV/bin/pip" install -q bytewax==0.21.1 confluent-kafka psycopg2-binary orjson; }
}

run() { (cd "$HERE" && measured "$WORKLOAD" "$@" -- "$ENV/bin/python" -m bytewax.run -w 2 flow:flow); }

w1() { run --count "wc -l < $SINK" --check "$(check lines "$SINK")"; }
w2() { run --count "wc -l < $SINK" --check "$(check mapped "$SINK")"; }
w3() { fresh_table && run --count "$(count_table)" --check "$(check table "'$PGURI'" users)"; }
w4() { kafka -mk "$OUTTOPIC" -partitions 4 && run --count "$P/gen -kafka $KAFKA -count $OUTTOPIC"; }
w5() { ROWS=3340 run --count "wc -l < $SINK" --check "$(check windows "$SINK")"; }

dispatch "$@"
