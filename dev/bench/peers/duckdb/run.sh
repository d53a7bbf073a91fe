#!/usr/bin/env bash
# DuckDB, on all cores.
. "$(dirname "$0")/../../lib.sh"

about() { echo "DuckDB 2.0 | none configured"; }
install() { duckdb "select 1"; }

pf() {
  parquet_file
  measured pf --count "wc -l < $SINK" --check "$(check lines "$SINK")" -- "$P/duckdb/bin/python" -c \
    "import duckdb; duckdb.sql(\"copy (select * from '$PARQUET' where age > 18) to '$SINK' (format json)\")"
}

dispatch "$@"
