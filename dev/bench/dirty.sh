#!/usr/bin/env bash
# What bad records cost: a million records, clean and with one bad in a million, in 10,000 and in 100, each kind of bad one
# at each stage. Clean and dirty runs take turns; what counts is the ratio of a pair. Prints a table in Markdown.
#
#   dev/bench/dirty.sh [PAIRS [RECORDS]]          default: 5 pairs of 1,000,000 records
#   SINKS="sqlite postgres"  EVERY="1000000 10000 100"  STAGES="decode expression sink"
#
# PostgreSQL is the one of dev/services (user, password and database `dataflow`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
pairs=${1:-5} records=${2:-1000000}
read -ra sinks <<<"${SINKS:-sqlite postgres}"
read -ra everies <<<"${EVERY:-1000000 10000 100}"
read -ra stages <<<"${STAGES:-decode expression sink}"

target=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
program=$target/release/dataflow
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PGPASSWORD=dataflow
url=postgres://dataflow@127.0.0.1:5432/dataflow
secret='postgres://dataflow:${env:PGPASSWORD}@127.0.0.1:5432/dataflow'
schema=bench_dirty_$$

sql() { psql -qtAX "$url" -c "$1"; }

# RECORDS lines; every EVERY-th, the first at EVERY/2, is bad for a STAGE (none: clean).
lines() { # STAGE EVERY
  awk -v n="$records" -v stage="$1" -v every="$2" 'BEGIN {
    for (i = 0; i < n; i++) {
      amount = i % 1000 + 1; tail = ""; id = i
      if (every && i % every == int(every / 2)) {
        if (stage == "decode") tail = ",}"
        if (stage == "expression") amount = 0
        if (stage == "sink") id = -i - 1
      }
      printf "{\"id\":%d,\"name\":\"user number %d\",\"age\":%d,\"amount\":%d,\"city\":\"somewhere in the world\"}%s\n", id, i, i % 90, amount, tail
    }
  }'
}

spec() { # SINK FILE
  local sink
  case $1 in
    sqlite) sink="{type: sqlite, path: $work/out.db, table: t, mode: append, createTable: false}" ;;
    postgres) sink="{type: postgres, url: '$secret', table: $schema.t, mode: append, createTable: false}" ;;
    postgres-upsert) sink="{type: postgres, url: '$secret', table: $schema.t, key: [id], createTable: false}" ;;
  esac
  printf 'pipelineId: dirty\nsource: {type: file, path: %s}\ntransforms: [{type: map, set: {share: "1000000 / amount"}}]\nsink: %s\n' \
    "$2" "$sink"
}

ddl="create table %st (id bigint %s check (id >= 0), name text, age bigint, amount bigint, city text, share double precision)"
prepare() { # SINK
  # shellcheck disable=SC2059
  case $1 in
    sqlite) rm -f "$work"/out.db*; python3 -c 'import sqlite3,sys; sqlite3.connect(sys.argv[1]).execute(sys.argv[2])' "$work/out.db" "$(printf "$ddl" "" "")" ;;
    postgres) sql "drop schema if exists $schema cascade; create schema $schema; $(printf "$ddl" "$schema." "")" 2>/dev/null ;;
    postgres-upsert) sql "drop schema if exists $schema cascade; create schema $schema; $(printf "$ddl" "$schema." "primary key")" 2>/dev/null ;;
  esac
}

# CPU seconds, wall seconds and dead letters of one run.
measure() { # SINK FILE
  prepare "$1"
  spec "$1" "$2" >"$work/spec.yaml"
  rm -rf "$work/data"
  local begun=$EPOCHREALTIME code=0
  { TIMEFORMAT='%U %S'; time "$program" run "$work/spec.yaml" --data-dir "$work/data" >"$work/out" 2>&1 || code=$?; } 2>"$work/times"
  ((code == 0 || code == 3)) || { cat "$work/out" >&2; exit 1; }
  awk -v a="$begun" -v b="$EPOCHREALTIME" -v dead="$(sed -n 's/^ *\([0-9,]*\)  dead letters.*/\1/p' "$work/out" | tr -d ,)" \
    '{ printf "%.2f %.2f %d\n", $1 + $2, b - a, dead }' "$work/times"
}

median() { sort -n | awk '{ v[NR] = $1 } END { printf "%.2f", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

lines none 0 >"$work/clean"
echo "| sink | stage | bad | dead letters | CPU, ratio to clean | wall, ratio to clean | clean, CPU s |"
echo "|---|---|---|---|---|---|---|"
for sink in "${sinks[@]}"; do
  for stage in "${stages[@]}"; do
    for every in "${everies[@]}"; do
      lines "$stage" "$every" >"$work/dirty"
      : >"$work/pairs"
      for ((pair = 0; pair < pairs; pair++)); do
        clean=$(measure "$sink" "$work/clean")
        dirty=$(measure "$sink" "$work/dirty")
        echo "$clean $dirty" >>"$work/pairs"
      done
      cpu=$(awk '{ print $4 / $1 }' "$work/pairs" | median)
      wall=$(awk '{ print $5 / $2 }' "$work/pairs" | median)
      base=$(awk '{ print $1 }' "$work/pairs" | median)
      dead=$(awk '{ print $6 }' "$work/pairs" | sort -u | paste -sd/)
      expected=$(((records + every - 1 - every / 2) / every))
      [[ $dead == "$expected" ]] || { echo "dirty.sh: $dead dead letters instead of $expected" >&2; exit 1; }
      echo "| $sink | $stage | 1 in $every | $dead | $cpu | $wall | $base |"
    done
  done
done
[[ " ${sinks[*]} " != *postgres* ]] || sql "drop schema if exists $schema cascade" 2>/dev/null
