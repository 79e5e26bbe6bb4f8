#!/bin/bash
# Starts a server, shows that no process of it is root's, and runs the examples through gRPC.
#
# Works as root, when the server gives root up by itself, and as an ordinary user. Leaves nothing
# behind; exits with 1 when anything is not as it should be.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1
python=$PWD/.venv/bin/python
scratch=$(mktemp -d)
chmod 711 "$scratch" # the server may be another user than we
address=unix:$scratch/run/sandboxd.sock
server=

fail() {
  echo "demo failed: $*" >&2
  [ -z "$server" ] || sed 's/^/  server: /' "$scratch/log" >&2
  [ ! -s "$scratch/error" ] || sed 's/^/  client: /' "$scratch/error" >&2
  exit 1
}

# Prints a process and all that descend from it.
family() {
  local child
  echo "$1"
  for child in $(ps -o pid= --ppid "$1"); do
    family "$child"
  done
}

# Runs a command until it succeeds; fails after 20 seconds, or when the server has gone.
await() {
  local deadline=$((SECONDS + 20))
  until "$@"; do
    kill -0 "$server" 2>/dev/null || fail "the server has gone"
    [ "$SECONDS" -lt "$deadline" ] || fail "waited too long: $*"
    sleep 0.05
  done
}

stop_server() {
  local pids code=0
  pids=$(family "$server" | paste -sd,)
  kill -TERM "$server"
  wait "$server" || code=$?
  server=
  [ "$code" = 0 ] || fail "the server exited with $code"
  [ -z "$(ps -o pid=,args= -p "$pids")" ] || fail "processes are left: $(ps -o pid=,args= -p "$pids")"
}

leave() {
  [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
  rm -rf "$scratch"
}
trap leave EXIT

ask() { "$python" -m sandboxd host --address "$address" >"$scratch/host" 2>"$scratch/error"; }
sleeping() { grep -qx 'sleep 1000' <<<"$(ps -o args= -p "$(family "$server" | paste -sd,)")"; }
woken() { ! sleeping; }

# Where systemd runs, an ordinary user gets cgroups of its own from it.
prefix=()
if [ "$(id -u)" != 0 ] && systemd-run --user --scope --quiet -p Delegate=yes true 2>/dev/null; then
  prefix=(systemd-run --user --scope --quiet -p Delegate=yes)
fi

echo "== a server"
"${prefix[@]}" "$python" -m sandboxd serve --listen "$address" --blobs "$scratch/blobs" --slots 4 \
  >"$scratch/log" 2>&1 &
server=$!
await ask
cat "$scratch/host"

echo
echo "== its processes, while a job runs"
"$python" -m sandboxd run --address "$address" --wall-time 60s -- sleep 1000 2>"$scratch/error" &
caller=$!
await sleeping
pids=$(family "$server" | paste -sd,)
ps -ww -o user:12,uid:10,pid,args -p "$pids" | cut -c -110
ps -o uid= -p "$pids" | awk '$1 == 0 { found = 1 } END { exit found || NR < 4 }' ||
  fail "a process of the server is root's, or not all are there"
kill -TERM "$caller" # and with its caller, the job
wait "$caller" 2>/dev/null || true
await woken

run_example() {
  echo
  echo "== examples/$*"
  "$python" "examples/$1" "$address" "${@:2}" || fail "examples/$1 exited with $?"
}
# An interpreter under emulation, as in the guests, takes longer than time limits for people allow.
run_example judge/judge.py --language .cpp --problem neighbours --problem guess
run_example ci/ci.py
run_example snippets/snippets.py

stop_server
echo
echo "== all as it should be, in $SECONDS seconds; the server has gone and left nothing"
