#!/bin/sh
# Hands the controllers of the engine's cgroup down to sandboxd's, where the engine lets us write, and
# the directory of the socket to its user.
set -eu
cd /sys/fs/cgroup
if [ -w cgroup.subtree_control ] && mkdir -p engine sandboxd 2>/dev/null; then
  # A cgroup with processes of its own cannot hand controllers down (EBUSY).
  for pid in $(cat cgroup.procs); do echo "$pid" >engine/cgroup.procs || true; done
  for controller in cpu memory pids; do
    echo "+$controller" >cgroup.subtree_control || true
    echo "+$controller" >sandboxd/cgroup.subtree_control || true
  done
fi
cd /
# A volume that is mounted here belongs to root, and root gives away only what it makes.
install -d -o sandboxd -g sandboxd -m 700 /run/sandboxd
exec /opt/sandboxd/bin/python -I -m sandboxd serve "$@"
