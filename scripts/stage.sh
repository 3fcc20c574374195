# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Shows what a long script is doing and for how long. Source it, and set `stage_log` to a file.

stage_log=${stage_log:-/dev/null}
stage_ticker=

stage_stop_ticker() {
  [[ -n $stage_ticker ]] || return 0
  kill "$stage_ticker" 2>/dev/null
  wait "$stage_ticker" 2>/dev/null
  stage_ticker=
  return 0
}
trap stage_stop_ticker EXIT

# stage TEXT FUNCTION [ARGUMENT…]: runs the function with its output in stage_log, and a line on
# standard error with the time it has taken so far. Ends the script when the function fails. A
# function may write to descriptor 3 what the user should see below the line.
stage() {
  local text=$1 started=$SECONDS status=0 notes from
  shift
  if [[ -t 2 ]]; then
    (
      trap 'exit 0' TERM
      while :; do
        printf '\r  … %-52s %4d s' "$text" $((SECONDS - started)) >&2
        sleep 1 &
        wait $!
      done
    ) &
    stage_ticker=$!
  else
    printf '  … %s\n' "$text" >&2
  fi
  printf '\n== %(%F %T)T %s\n' -1 "$text" >>"$stage_log"
  from=$(wc -l <"$stage_log")
  notes=$(mktemp)
  "$@" >>"$stage_log" 2>&1 3>"$notes" || status=$?
  stage_stop_ticker
  [[ -t 2 ]] && printf '\r' >&2
  if ((status == 0)); then
    printf '  ✓ %-52s %4d s\n' "$text" $((SECONDS - started)) >&2
  else
    printf '  ✗ %-52s %4d s\n' "$text" $((SECONDS - started)) >&2
    tail -n "+$((from + 1))" "$stage_log" | tail -n 15 | sed 's/^/    /' >&2
    printf '    (all of it: %s)\n' "$stage_log" >&2
  fi
  sed 's/^/      /' "$notes" >&2
  rm -f "$notes"
  ((status == 0)) || exit 1
}
