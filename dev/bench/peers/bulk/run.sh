#!/usr/bin/env bash
# Not a peer but the limit of KO: a plain loop of _bulk requests with the same documents under the same ids.
. "$(dirname "$0")/../../lib.sh"

about() { echo "a plain \`_bulk\` loop, $CONNECTIONS connections | the limit"; }
install() { :; }
CONNECTIONS=${CONNECTIONS:-$(nproc)} # as many as ours has lanes
BATCH=${BATCH:-3300000}              # bytes of a request, as many as one of ours has

ko() {
  fresh_index
  ROWS=$N measured ko --count "$(count_index)" --check "$(check index "$SEARCH" "$INDEX")" -- \
    python3 "$HERE/loop.py" "$DATA" "$SEARCH/$INDEX" "$BATCH" "$CONNECTIONS"
}

dispatch "$@"
