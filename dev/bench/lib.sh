# What every peer's run.sh begins with: settings, data, topics and tables, and `measured`. It ends with `dispatch "$@"`.
#
#   run.sh about       name, version | what it promises
#   run.sh workloads   the workloads that it can do
#   run.sh install     installs it once, from package registries
#   run.sh w1 …        one measured run: one line more in $RESULTS
set -euo pipefail
BENCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PEER=$(basename "$(dirname "$0")")              # what a run is filed under
HERE=$BENCH/peers/$PEER
P=${DATAFLOW_BENCH_HOME:-$HOME/.cache/dataflow-bench} # installs, data, output, logs
N=${N:-1000000}
PASS=${PASS:-1}
RESULTS=${RESULTS:-$P/results.jsonl}
KAFKA=${KAFKA:-127.0.0.1:9092}
DATABASE=dataflow_bench
PGURI=${PGURI:-postgres://dataflow:dataflow@127.0.0.1:5432/$DATABASE?sslmode=disable}
JDBC=${JDBC:-jdbc:postgresql://127.0.0.1:5432/$DATABASE?reWriteBatchedInserts=true}
TOPIC=bench_users_$N # 4 partitions
SEARCH=${SEARCH:-http://127.0.0.1:9201} # OpenSearch, or Elasticsearch
INDEX=${INDEX:-bench_users}
S3=${S3:-http://127.0.0.1:9000}         # MinIO
S3_USER=${S3_USER:-minioadmin:minioadmin}
DATA=$P/users-$N.jsonl
PARQUET=$P/users-$N.parquet
EXPECT_FILE=$P/users-$N.expect # how many records have age > 18, counted in the data
mkdir -p "$P/out" "$P/logs"

say() { printf '%s\n' "$*" >&2; }
kafka() { "$P/gen" -kafka "$KAFKA" "$@"; }
pg() { PGOPTIONS='-c client_min_messages=warning' psql -qAtX -v ON_ERROR_STOP=1 "$PGURI" -c "$1"; }

# Data, database and topic of the workloads, and what makes them; once.
prepare_data() {
  if [[ ! -x $P/gen || $(find "$BENCH/gen" -newer "$P/gen") ]]; then (cd "$BENCH/gen" && go build -o "$P/gen" .); fi
  [[ -s $DATA ]] || "$P/gen" -n "$N" -file "$DATA"
  [[ -s $EXPECT_FILE ]] || python3 "$BENCH/check.py" count "$DATA" >"$EXPECT_FILE"
  psql -qAtX "${PGURI/\/$DATABASE//dataflow}" -c "select 1 from pg_database where datname = '$DATABASE'" | grep -q 1 ||
    psql -qAtX "${PGURI/\/$DATABASE//dataflow}" -c "create database $DATABASE"
  [[ $(kafka -count "$TOPIC" 2>/dev/null) == "$N" ]] || kafka -n "$N" -topic "$TOPIC" -partitions 4
}

# A fresh table `users`; what earlier runs left to write is written before the clock starts.
fresh_table() {
  pg "drop table if exists users"
  pg "create table users(id text primary key, name text, email text, age int, country text, amount numeric(12,2), ts timestamptz)"
  pg checkpoint
}

# Counting costs the server time, so it begins when the table is about as large as it will be.
count_table() {
  echo "psql -qAtX '$PGURI' -c 'select case when pg_relation_size(\$\$users\$\$) < 90 * $EXPECT then 0 else (select count(*) from users) end'"
}

# A fresh index, as the server makes it, without a copy on another node.
fresh_index() {
  curl -sf -o "$P/logs/index" -X DELETE "$SEARCH/$INDEX?ignore_unavailable=true"
  curl -sf -o "$P/logs/index" -X PUT "$SEARCH/$INDEX" -H 'content-type: application/json' -d '{"settings": {"number_of_replicas": 0}}'
}

# What was written so far, without a refresh, which would cost the server time; and what is there in the end.
indexed() { echo "curl -s '$SEARCH/$INDEX/_stats/indexing?filter_path=_all.primaries.indexing.index_total' | tr -dc 0-9"; }
count_index() {
  echo "curl -s -o '$P/logs/index' -X POST '$SEARCH/$INDEX/_refresh'; curl -s '$SEARCH/$INDEX/_count?filter_path=count' | tr -dc 0-9"
}

# A table with the rows of W3 that is only read, made once.
rows_table() {
  [[ $(pg "select count(*) from bench_rows" 2>/dev/null) == "$EXPECT" ]] && return
  pg "drop table if exists bench_rows"
  pg "create table bench_rows(id text primary key, name text, email text, age int, country text, amount numeric(12,2), ts timestamptz)"
  python3 "$BENCH/check.py" csv "$DATA" | psql -qAtX -v ON_ERROR_STOP=1 "$PGURI" -c "copy bench_rows from stdin (format csv)"
  pg "vacuum analyze bench_rows"
}

# The data as Parquet, as DuckDB writes it, made once.
parquet_file() { [[ -s $PARQUET ]] || duckdb "copy (select * from read_json('$DATA', format = 'newline_delimited')) to '$PARQUET' (format parquet)"; }
duckdb() {
  [[ -d $P/duckdb ]] || { say "installing DuckDB"; python3 -m venv "$P/duckdb" && "$P/duckdb/bin/pip" install -q duckdb==2.0.1; }
  "$P/duckdb/bin/python" -c 'import duckdb, sys; duckdb.sql(sys.argv[1])' "$1"
}

# A new bucket that everybody may read, so that whoever counts needs no credentials.
s3() { curl -sf --aws-sigv4 aws:amz:us-east-1:s3 --user "$S3_USER" "$@"; }
fresh_bucket() {
  s3 -X PUT "$S3/$BUCKET"
  local policy='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
    "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": ["arn:aws:s3:::'"$BUCKET"'", "arn:aws:s3:::'"$BUCKET"'/*"]}]}'
  # curl signs the body's sum only if it is told it.
  s3 -X PUT "$S3/$BUCKET?policy=" -H 'content-type: application/json' -d "$policy" \
    -H "x-amz-content-sha256: $(printf %s "$policy" | sha256sum | cut -d' ' -f1)"
}
drop_bucket() { s3 -X DELETE "$S3/$BUCKET" -H 'x-minio-force-delete: true'; }
count_bucket() { echo "python3 '$BENCH/check.py' lines-in-bucket '$S3/$BUCKET'"; }

# measured WORKLOAD [options of measure.py] -- COMMAND…
measured() {
  local workload=$1
  shift
  sync
  python3 "$BENCH/measure.py" --peer "$PEER" --workload "$workload" --pass "$PASS" --records "$N" --expect "${ROWS:-$EXPECT}" \
    --results "$RESULTS" --log "$P/logs/$PEER-$workload.log" "$@"
}

# What measure.py runs after the first pass to hold every record in the sink against the data; nothing in later passes.
check() { [[ $PASS == 1 ]] && echo "python3 '$BENCH/check.py' $* '$DATA'"; }

dispatch() {
  case ${1:-} in
    about | install) "$1" ;;
    workloads) compgen -A function | grep -E '^(w[1-5]|kf|ko|ks|jf|pf)$' | tr '\n' ' ' ;;
    w[1-5] | kf | ko | ks | jf | pf)
      declare -F "$1" >/dev/null || { say "$PEER has no $1"; exit 2; }
      EXPECT=$(<"$EXPECT_FILE")
      GROUP=bench-$PEER-$1-$(date +%s%N)
      SINK=$P/out/$PEER-$1
      BUCKET=${GROUP,,}
      rm -rf "$SINK"
      export DATA KAFKA PGURI JDBC TOPIC SEARCH INDEX S3 S3_USER BUCKET PARQUET OUTTOPIC=bench_out GROUP SINK P WORKLOAD=$1
      "$1"
      rm -rf "$SINK"
      [[ $1 != ks ]] || drop_bucket
      ;;
    *) say "usage: run.sh about | workloads | install | w1 w2 w3 w4 w5 kf ko ks jf pf"; exit 2 ;;
  esac
}
