#!/usr/bin/env bash
# Pathway 0.33.0, two threads, no persistence configured.
. "$(dirname "$0")/../../lib.sh"
ENV=$P/pathway

about() { echo "Pathway 0.33 | none configured"; }
install() { [[ -d $ENV ]] || { say "installing Pathway"; python3.11 -m venv "$ENV" && "$ENV/bin/pip" install -q pathway==0.33.0; }; }

run() { PATHWAY_THREADS=2 measured "$WORKLOAD" "$@" -- "$ENV/bin/python" "$HERE/flow.py"; }

# "id" is a reserved name of a column in Pathway: it is written as uid.
w1() { run --count "wc -l < $SINK" --check "$(check lines "$SINK")"; }
w3() {
  pg "drop table if exists users_pathway"
  pg "create table users_pathway(uid text primary key, name text, email text, age bigint, country text, amount float8, ts text)"
  pg checkpoint
  run --count "psql -qAtX '$PGURI' -c 'select count(*) from users_pathway'" --check "$(check table "'$PGURI'" \
    "'(select uid as id, name, email, age, country, amount, ts::timestamptz from users_pathway)'")"
  pg "drop table users_pathway"
}
w4() { kafka -mk "$OUTTOPIC" -partitions 4 && run --count "$P/gen -kafka $KAFKA -count $OUTTOPIC"; }
w5() { ROWS=3340 run --count "wc -l < $SINK" --check "$(check windows "$SINK")"; }

dispatch "$@"
