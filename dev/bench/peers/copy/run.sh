#!/usr/bin/env bash
# Not a peer but the limit of W3 and JF: psql copies a table into a file, or the very rows, made before, into a temporary table and upserts them at once.
. "$(dirname "$0")/../../lib.sh"
ROWS_FILE=$P/users-$N.csv

about() { echo "psql \\copy and one upsert | the limit"; }
install() { [[ -s $ROWS_FILE ]] || python3 "$BENCH/check.py" csv "$DATA" >"$ROWS_FILE"; }

w3() {
  fresh_table
  measured w3 --count "$(count_table)" --check "$(check table "'$PGURI'" users)" -- psql -qX -v ON_ERROR_STOP=1 "$PGURI" \
    -c "create temporary table rows (like users)" \
    -c "\\copy rows from '$ROWS_FILE' (format csv)" \
    -c "insert into users select * from rows on conflict (id) do update set name = excluded.name, email = excluded.email,
        age = excluded.age, country = excluded.country, amount = excluded.amount, ts = excluded.ts"
}
jf() { rows_table && measured jf --count "wc -l < $SINK" -- psql -qX -v ON_ERROR_STOP=1 "$PGURI" -c "\\copy bench_rows to '$SINK'"; }

dispatch "$@"
