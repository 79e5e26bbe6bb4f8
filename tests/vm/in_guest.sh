#!/bin/bash
# What happens in a guest. Everything of sandboxd runs as the ordinary user `judge`, in that user's
# own systemd manager, but for what an administrator does. Names and times go to `steps`, all output
# to `log`, JUnit files beside them; lane.py reads them.
set -u
results=/var/tmp/results
mkdir -m 1777 $results
exec >$results/log 2>&1
# Emulation costs much: see tests/sandbox/house.py.
export CI=true SANDBOXD_EXTRA=test SANDBOXD_REQUIRE_SANDBOX=1 SANDBOXD_TEST_SLOWNESS=20
export SANDBOXD_TEST_JOBS=16 SANDBOXD_ATTACKS=cgroup
home=/home/judge/sandboxd
runtime=/run/user/$(id -u judge)
failed=()
# What the machine that boots the guests tests as well or better: languages that a guest does not
# have, weaker hosts, which are made of namespaces anywhere, the two zygotes side by side, many
# sandboxes at once. The rungs have a step of their own.
elsewhere=()
for file in weak_hosts rungs compiled density; do
  elsewhere+=(--ignore "tests/sandbox/test_$file.py")
done
for test in a_java_program_compiles_and_runs node_runs_with_a_worker git_commits \
  a_server_and_its_client_meet_on_loopback a_go_program_compiles_and_runs; do
  elsewhere+=(--deselect "tests/sandbox/test_toolchains.py::test_$test")
done

note() { echo "$*" | tee -a $results/steps; }

step() {
  local name=$1 began=$SECONDS
  shift
  echo "=== $name"
  if "$@"; then
    note "$name: $((SECONDS - began)) s"
  else
    note "$name: FAILED after $((SECONDS - began)) s"
    failed+=("$name")
  fi
  tar -C ${results%/*} -cf /dev/vdc results # what is known by now outlasts whatever comes next
}

# Runs a command as a service of the user's manager, which delegates its cgroup.
as_user() {
  runuser -u judge -- env XDG_RUNTIME_DIR="$runtime" \
    systemd-run --user --quiet --wait --pipe --collect --working-directory=$home -p Delegate=yes \
    -E CI -E SANDBOXD_EXTRA -E SANDBOXD_REQUIRE_SANDBOX -E SANDBOXD_TEST_SLOWNESS \
    -E SANDBOXD_TEST_JOBS -E SANDBOXD_ATTACKS "$@"
}

# Prints the pytest command for one file or folder, whose JUnit file bears its name.
pytest() {
  echo "${python:-.venv/bin/python} -m pytest -p no:cacheprovider -q --durations=15" \
    "--junitxml=$results/$1.xml"
}

user_tests() { as_user $(pytest "$1") "tests/vm/inside/test_$1.py"; }

# For a unit of the system's, sandboxd must lie where its user may read: not in a home. What it needs
# is there: the image has it, as the first installation shows how all of it is fetched.
install_in_opt() {
  /opt/sandboxd/bin/pip install --quiet --no-deps --no-build-isolation .
}
setup_tests() { $(python=/opt/sandboxd/bin/python pytest setup) tests/vm/inside/test_setup.py; }
lane() { as_user scripts/test.sh "$1" -- -q --durations=40 "--junitxml=$results/$1.xml" "${@:2}"; }

# A tree that an administrator prepared, with one controller alone.
partial_tests() {
  local place=/sys/fs/cgroup/partial
  mkdir -p $place/judge/supervisor
  echo +memory >$place/cgroup.subtree_control
  chown judge $place/judge $place/judge/{cgroup.procs,cgroup.subtree_control,supervisor} \
    $place/judge/supervisor/cgroup.procs
  # shellcheck disable=SC2016 # $1 is the inner shell's
  bash -c 'echo 0 >"$1/judge/supervisor/cgroup.procs"; shift; exec "$@"' - $place \
    runuser -u judge -- $(pytest partial) tests/vm/inside/test_partial.py
}

# What a start as root prepares: every controller of the machine, cpuset among them. For a user who
# cannot read the home of the other.
prepared_tests() {
  local python=/opt/sandboxd/bin/python
  (cd /mnt/checkout && export PYTHONDONTWRITEBYTECODE=1 &&
    $python scripts/as_test_user.py $(pytest prepared) tests/vm/inside/test_cgroup2.py &&
    $python scripts/as_test_user.py $(pytest prepared-rungs) tests/sandbox/test_rungs.py)
}

note "$(uname -r), booted after $(cut -d. -f1 /proc/uptime) s"
install -d -o judge -g judge $home
tar -C /mnt/checkout --exclude=./lost+found -c . | runuser -u judge -- tar -C $home -x
cd $home || exit 1
step install as_user scripts/install.sh
step doctor-table as_user .venv/bin/sandboxd doctor
step doctor user_tests doctor
step demo as_user make demo
step cgroup2 user_tests cgroup2
step partial partial_tests
step restart user_tests restart
# A guest has one processor: nobody can have another for himself.
elsewhere+=(--ignore tests/sandbox/test_exclusive.py)
step sandbox lane sandbox "${elsewhere[@]}"
step escape lane escape -k "not client"
# Two stages are of cgroup v1 alone, which a guest does not have.
step faults lane faults -k "(vanished or stages) and not init_cgroup and not program_cgroup"
step install-in-opt install_in_opt
step prepared prepared_tests
step setup setup_tests
[ "${#failed[@]}" -gt 0 ] || note "all passed"
tar -C ${results%/*} -cf /dev/vdc results
sync
