#!/usr/bin/env bash
# Kafka Connect 4.0.0, standalone: Debezium's JDBC sink 3.2.0.Final, which does not run on later ones, and Kafka's own file sink.
. "$(dirname "$0")/../../lib.sh"
LIB=$P/kafka-connect/lib
export PLUGINS=$P/kafka-connect/plugins

about() { echo "Kafka Connect 4.0 | at least once"; }
install() {
  [[ -d $LIB ]] || { say "installing Kafka Connect"; mvn -q -B -f "$HERE/pom.xml" dependency:copy-dependencies -DoutputDirectory="$LIB"; }
  if [[ ! -d $PLUGINS/debezium ]]; then
    mvn -q -B -f "$HERE/dbz/pom.xml" dependency:copy-dependencies -DoutputDirectory="$PLUGINS/debezium" \
      -DexcludeArtifactIds=ojdbc11,mssql-jdbc,mysql-connector-j,mariadb-java-client
    # The worker has these already.
    rm -f "$PLUGINS"/debezium/jackson-{core,databind,annotations}-*.jar "$PLUGINS"/debezium/slf4j-*.jar
  fi
  mkdir -p "$PLUGINS/file" && cp "$LIB"/connect-file-*.jar "$PLUGINS/file/"
  [[ -f $PLUGINS/bench/bench.jar ]] || package
}

# A filter that looks into values, and a schema for plain JSON: Kafka Connect has neither.
package() {
  local classes=$P/kafka-connect/classes services=$P/kafka-connect/classes/META-INF/services
  javac -cp "$LIB/*" -d "$classes" "$HERE"/*.java
  mkdir -p "$services" "$PLUGINS/bench"
  echo bench.Filter >"$services/org.apache.kafka.connect.transforms.predicates.Predicate"
  echo bench.AsStruct >"$services/org.apache.kafka.connect.transforms.Transformation"
  jar cf "$PLUGINS/bench/bench.jar" -C "$classes" .
}

run() { # [options of measure.py]
  local name
  rm -f "$P/out/kafka-connect.offsets"
  for name in worker "$WORKLOAD"; do envsubst <"$HERE/$name.properties" >"$P/out/kafka-connect-$name.properties"; done
  measured "$WORKLOAD" "$@" -- java -Xmx1g -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$LIB/*" \
    org.apache.kafka.connect.cli.ConnectStandalone "$P"/out/kafka-connect-{worker,"$WORKLOAD"}.properties
}

w3() { fresh_table && run --until "$(count_table)" --check "$(check table "'$PGURI'" users)"; }
kf() { run --until "wc -l < $SINK" --check "$(check lines "$SINK")"; }

dispatch "$@"
