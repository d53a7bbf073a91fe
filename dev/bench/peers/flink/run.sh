#!/usr/bin/env bash
# Apache Flink 2.3.0 (the jars of PyPI's apache-flink): SQL in one JVM with Flink's own mini-cluster, parallelism 2.
. "$(dirname "$0")/../../lib.sh"
JARS=$P/flink/jars
CLASSES=$P/flink/classes
PYFLINK=$P/flink/env/lib/python3.11/site-packages/pyflink

about() { echo "Flink 2.3 | at least once"; }
install() {
  [[ -d $PYFLINK ]] || { say "installing Flink"; python3.11 -m venv "$P/flink/env" && "$P/flink/env/bin/pip" install -q apache-flink==2.3.0; }
  [[ -d $JARS ]] || mvn -q -B -f "$HERE/pom.xml" dependency:copy-dependencies -DoutputDirectory="$JARS"
  [[ -f $CLASSES/FlinkSql.class ]] || javac -cp "$PYFLINK/lib/*" -d "$CLASSES" "$HERE/FlinkSql.java"
  cp "$HERE/log4j2.properties" "$CLASSES/"
}

export FLINK_SET="parallelism.default=2;execution.checkpointing.interval=10 s;execution.checkpointing.mode=AT_LEAST_ONCE;\
taskmanager.memory.managed.size=512m;taskmanager.memory.network.max=128m;\
table.exec.sink.require-on-conflict=false;table.exec.sink.upsert-materialize=NONE"
export BATCH=5000

run() { # [options of measure.py]
  local opens jars
  opens=$(grep -m1 ' all: ' "$PYFLINK/conf/config.yaml" | sed 's/.*all: //')
  # flink-connector-base comes with Flink already.
  jars=$(printf '%s\n' "$JARS"/*.jar | grep -v connector-base | paste -sd:)
  # shellcheck disable=SC2086 # several options
  measured "$WORKLOAD" "$@" -- java $opens -Xmx2g -cp "$CLASSES:$PYFLINK/lib/*:$jars" FlinkSql "$HERE/$WORKLOAD.sql"
}
lines="find $P/out/$PEER-* -type f ! -name '.*' -exec cat {} + | wc -l"

w1() { run --count "$lines" --check "$(check lines "$SINK")"; }
w2() { run --count "$lines" --check "$(check mapped "$SINK")"; }
w3() { fresh_table && run --count "$(count_table)" --check "$(check table "'$PGURI'" users)"; }
w4() { kafka -mk "$OUTTOPIC" -partitions 4 && run --count "$P/gen -kafka $KAFKA -count $OUTTOPIC"; }
w5() { ROWS=3340 run --count "$lines" --check "$(check windows "$SINK")"; }

dispatch "$@"
