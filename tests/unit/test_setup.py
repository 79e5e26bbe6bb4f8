"""`sandboxd setup`, on the tree of a made-up system: adds, repeats nothing, takes all back."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.cli import cli
from sandboxd.errors import HostError
from sandboxd.kernel import idmap
from sandboxd.kernel.idmap import Range
from sandboxd.setup import accounts, changes
from sandboxd.setup.changes import AddLine, MakeLink, Run, Step, WriteFile
from sandboxd.setup.plan import PROFILE, TMPFILES, Facts, Wish, changes_for, look, units_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

USERS = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\ntaken:x:999:998::/:/x\n"
ETC = {
    "passwd": USERS,
    "passwd-": "root:x:0:0:root:/root:/bin/sh\n",
    "group": "root:x:0:\nann:x:1000:\ntaken:x:998:\n",
    "shadow": "root:*:1::::::\nann:!:1::::::\n",
    "gshadow": "root:*::\nann:!::\n",
    "subuid": "ann:100000:65536\n",
    "subgid": "ann:100000:65536",  # without an end of line
    "login.defs": "SYS_UID_MIN 900 # comment\nSYS_UID_MAX\t999\nSUB_UID_MIN 100000\n",
    "systemd/system/other.service": "[Service]\n",
    ".pwd.lock": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in ETC.items():
        place = tmp_path / "etc" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (tmp_path / "etc/shadow").chmod(0o640)
    (tmp_path / "var/lib").mkdir(parents=True)
    return tmp_path


def state(root: Path) -> dict[str, tuple[int, bytes | str]]:
    """Everything below a tree: modes, contents, where links lead."""
    return {
        str(p.relative_to(root)): (
            p.lstat().st_mode,
            str(p.readlink()) if p.is_symlink() else p.read_bytes() if p.is_file() else b"",
        )
        for p in root.rglob("*")
    }


def times(root: Path) -> dict[str, int]:
    return {str(p): p.lstat().st_mtime_ns for p in [root, *root.rglob("*")]}


def setup(root: Path, *options: str) -> str:
    result = CliRunner().invoke(cli, ["setup", "--root", str(root), *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def read(root: Path, name: str) -> str:
    return (root / "etc" / name).read_text()


# --- on a tree ------------------------------------------------------------------------------------


def test_a_dry_run_says_all_and_changes_nothing(root: Path) -> None:
    before, at = state(root), times(root)
    said = setup(root, "--dry-run")
    assert (state(root), times(root)) == (before, at)
    done = setup(root).splitlines()[:-1]
    assert said.splitlines() == [f"would {line}" for line in done]


def test_a_second_run_changes_nothing_not_even_times(root: Path) -> None:
    setup(root)
    at = times(root)
    assert setup(root) == "nothing to do\n"
    assert setup(root, "--dry-run") == "nothing to do\n"
    assert times(root) == at


@pytest.mark.parametrize(
    "prepare",
    [
        lambda _: None,
        lambda etc: (etc / "subuid").unlink(),
        lambda etc: (etc / "subgid").write_text(""),
        lambda etc: (etc / ".pwd.lock").unlink(),
        lambda etc: (etc / "gshadow").unlink(),
        lambda etc: (etc / "passwd").write_bytes(USERS.encode() + b"j\xf6rg:x:1001:1001:\r:/:/x\n"),
        lambda etc: (etc / "systemd/system/multi-user.target.wants").mkdir(),
    ],
    ids=["stock", "no-subuid", "empty-subgid", "no-lock", "no-gshadow", "latin1", "wants"],
)
@pytest.mark.parametrize("options", [(), ("--user", "ann", "--mode", "user"), ("--user", "judge")])
def test_undo_leaves_every_byte_and_mode_as_it_was(
    root: Path, prepare: Callable[[Path], None], options: tuple[str, ...]
) -> None:
    prepare(root / "etc")
    before = state(root)
    setup(root, *options)
    assert state(root) != before
    setup(root, "--undo")
    assert state(root) == before
    assert setup(root, "--undo") == "nothing to do\n"


def test_the_user_can_do_nothing_but_serve(root: Path) -> None:
    setup(root)
    assert "sandboxd:x:997:997:sandboxd:/nonexistent:/usr/sbin/nologin\n" in read(root, "passwd")
    assert read(root, "shadow").endswith("\nsandboxd:!:::::::\n")
    assert read(root, "group").endswith("\nsandboxd:x:997:\n")
    assert (root / "etc/shadow").stat().st_mode & 0o777 == 0o640


def test_others_lines_stay_and_nothing_overlaps(root: Path) -> None:
    setup(root)
    assert read(root, "subuid") == "ann:100000:65536\nsandboxd:165536:65536\n"
    assert read(root, "subgid") == "ann:100000:65536\nsandboxd:165536:65536\n"


def test_a_user_who_is_there_is_taken_as_he_is(root: Path) -> None:
    setup(root, "--user", "ann", "--mode", "user")
    for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid"):
        assert read(root, name) == ETC[name]
    unit = read(root, "systemd/user/sandboxd.service")
    assert "\nConditionUser=ann\n" in unit, "for nobody else's manager"
    assert "User=" not in unit.replace("ConditionUser=", "")


def test_the_unit_starts_this_interpreter_as_that_user(root: Path) -> None:
    setup(root, "--user", "judge")
    unit = read(root, "systemd/system/sandboxd.service")
    assert f"\nExecStart={sys.executable} -I -m sandboxd serve " in unit
    assert "\nUser=judge\n" in unit
    assert "\nSocketUser=judge\n" in read(root, "systemd/system/sandboxd.socket")
    wants = root / "etc/systemd/system/sockets.target.wants/sandboxd.socket"
    assert str(wants.readlink()) == "/etc/systemd/system/sandboxd.socket"


def test_undo_takes_out_only_our_lines_when_others_came_since(root: Path) -> None:
    setup(root)
    for name, line in (("passwd", "eve:x:1001:1001::/:/x\n"), ("subgid", "eve:300000:65536\n")):
        with (root / "etc" / name).open("a") as file:
            file.write(line)
    setup(root, "--undo")
    assert read(root, "passwd") == USERS + "eve:x:1001:1001::/:/x\n"
    assert read(root, "subgid") == "ann:100000:65536\neve:300000:65536\n"


def test_undo_leaves_what_was_changed_since_and_says_so(root: Path) -> None:
    setup(root)
    unit = root / "etc/systemd/system/sandboxd.service"
    unit.write_text(unit.read_text() + "# mine\n")
    passwd = root / "etc/passwd"
    passwd.write_text(passwd.read_text().replace("/usr/sbin/nologin", "/bin/sh"))
    said = setup(root, "--undo")
    assert "but: /etc/systemd/system/sandboxd.service stays: it was changed since" in said
    assert "but: /etc/passwd stays: its line was changed since" in said
    assert unit.read_text().endswith("# mine\n")


def test_a_file_in_the_way_is_not_overwritten(root: Path) -> None:
    unit = root / "etc/systemd/system/sandboxd.service"
    unit.write_text("precious")
    before = state(root)
    with pytest.raises(HostError, match=r"cannot write .*sandboxd\.service: it is there"):
        setup(root)
    assert state(root) == before


def test_a_unit_of_an_older_version_is_replaced(root: Path) -> None:
    setup(root)
    before = state(root)
    record = root / "var/lib/sandboxd/setup.json"
    steps = json.loads(record.read_text())
    unit = root / "etc/systemd/system/sandboxd.service"
    for step in steps:
        if step.get("path", "").endswith("system/sandboxd.service"):
            step["content"] = "older"
    record.write_text(json.dumps(steps))
    unit.write_text("older")
    assert "write /etc/systemd/system/sandboxd.service\n" in setup(root)
    after = state(root)
    assert after["etc/systemd/system/sandboxd.service"] == before[str(unit.relative_to(root))]
    assert setup(root) == "nothing to do\n"


def test_what_failed_is_kept_and_undone_by_the_next_undo(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = state(root)
    setup(root)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    once, later = elsewhere / "once", elsewhere / "later"
    once.touch()
    in_units = ("env", "--chdir", str(root / "etc/systemd/system"))
    copy = (*in_units, "cp", "sandboxd.service", f"{later}/copy")
    changes.apply([Run(("true",), (("rm", str(once)), copy))], root, lambda _: None)
    for _ in range(2):
        with pytest.raises(HostError, match=r"what failed stays recorded.*setup --undo again"):
            setup(root, "--undo")
        assert not once.exists()
        unit, command = (step.change for step in changes.read_record(root))
        assert isinstance(unit, WriteFile)
        assert unit.path == "/etc/systemd/system/sandboxd.service", "the command reads it"
        assert command == Run(("true",), (copy,))
        assert read(root, "passwd") == USERS
    later.mkdir()
    setup(root, "--undo")
    assert (later / "copy").is_file()
    assert state(root) == before


def test_what_was_never_done_need_not_be_undone(root: Path) -> None:
    before = state(root)
    with pytest.raises(HostError, match="cannot run false"):
        changes.apply([Run(("false",), (("false",),))], root, lambda _: None)
    assert "but: false: exit code 1\n" in setup(root, "--undo")
    assert state(root) == before


class PowerFailureError(Exception):
    """The power failed."""


@pytest.mark.parametrize("count", [1, 4, 6, 8, 11])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_was_cut_short_is_finished_or_taken_back(
    root: Path, count: int, when: str
) -> None:
    before = state(root)
    wish = Wish()
    planned = changes_for(wish, look(root, wish), [])

    def fail(words: str) -> None:
        if words == str(planned[count]):
            raise PowerFailureError  # recorded, not begun

    cut = planned if when == "before" else planned[:count]
    try:
        changes.apply(cut, root, fail if when == "before" else lambda _: None)
    except PowerFailureError:
        assert when == "before"
    half = state(root)
    changes.undo(root, lambda _: None)
    assert state(root) == before
    changes.apply(cut[:count], root, lambda _: None)
    setup(root)
    assert setup(root) == "nothing to do\n"
    whole = state(root)
    assert half.keys() <= whole.keys()
    setup(root, "--undo")
    assert state(root) == before


def test_the_record_is_roots_alone(root: Path) -> None:
    setup(root)
    assert (root / "var/lib/sandboxd/setup.json").stat().st_mode & 0o777 == 0o600


def test_a_record_that_cannot_be_read_is_named(root: Path) -> None:
    setup(root)
    (root / "var/lib/sandboxd/setup.json").write_text("{")
    with pytest.raises(HostError, match=r"cannot read /var/lib/sandboxd/setup\.json"):
        setup(root, "--undo")


def test_a_tree_that_cannot_be_written_is_named(root: Path) -> None:
    (root / "etc/subuid").unlink()
    (root / "etc/subuid").mkdir()
    with pytest.raises(HostError, match=r"cannot use .*/etc/subuid"):
        setup(root)


def test_without_systemd_only_user_and_range_are_made(root: Path) -> None:
    (root / "etc/systemd/system/other.service").unlink()
    (root / "etc/systemd/system").rmdir()
    (root / "etc/systemd").rmdir()
    setup(root)
    assert not (root / "etc/systemd").exists()
    assert "sandboxd:" in read(root, "subuid")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--user", "nobody-here", "--mode", "user"), "no such user"),
        (("--user", "root"), "cannot let root serve"),
        (("--user", "Bad Name"), "cannot make a user"),
        (("--range", "150000:65536"), "belong to somebody else"),
        (("--range", "900:200"), "belong to somebody else"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_changes(
    root: Path, options: tuple[str, ...], words: str
) -> None:
    before = state(root)
    with pytest.raises(HostError, match=words):
        setup(root, *options)
    assert state(root) == before


def test_a_wished_range_is_given(root: Path) -> None:
    setup(root, "--range", "500000:1000")
    assert read(root, "subuid").endswith("sandboxd:500000:1000\n")


@pytest.mark.parametrize("text", ["1", "a:b", "0:65536", "100:10", "-5:100"])
def test_what_is_no_range_is_refused(root: Path, text: str) -> None:
    result = CliRunner().invoke(cli, ["setup", "--root", str(root), f"--range={text}"])
    assert result.exit_code == 2
    assert "START:COUNT" in result.output


# --- the plan alone -------------------------------------------------------------------------------


@pytest.fixture
def facts(root: Path) -> Facts:
    own = "/opt/sandboxd/bin/python3"
    found = look(root, Wish())
    return replace(found, is_running=True, interpreter=own, real_interpreter=own)


def commands(planned: list[changes.Change]) -> list[str]:
    return [" ".join(change.command) for change in planned if isinstance(change, Run)]


def test_on_a_running_system_the_units_are_started_last(facts: Facts) -> None:
    planned = changes_for(Wish(), facts, [])
    assert commands(planned)[-3:] == [
        "systemctl daemon-reload",
        "systemctl start sandboxd.socket",
        "systemctl restart sandboxd.service",
    ]
    assert all(isinstance(change, Run) for change in planned[-3:])


def test_a_command_that_has_not_run_is_run_again_and_no_other(facts: Facts, root: Path) -> None:
    setup(root)
    there = replace(look(root, Wish()), is_running=True)
    all_commands = changes_for(Wish(), there, changes.read_record(root))
    assert all(isinstance(change, Run) for change in all_commands)
    done = [Step(change, done=True) for change in all_commands]
    assert changes_for(Wish(), there, done) == []
    done[-1] = replace(done[-1], done=False)
    assert changes_for(Wish(), there, done) == all_commands[-1:]
    assert facts.is_running


def test_a_login_users_manager_is_started_and_told(facts: Facts, root: Path) -> None:
    wish = Wish(user="ann", mode="user")
    ours = replace(look(root, wish), is_running=True)
    assert commands(changes_for(wish, ours, [])) == [
        "loginctl enable-linger ann",
        "systemctl start user@1000.service",
        "",
        "systemctl --user --machine=ann@ daemon-reload",
        "systemctl --user --machine=ann@ start sandboxd.socket",
        "systemctl --user --machine=ann@ restart sandboxd.service",
    ]
    lingering = changes_for(wish, replace(ours, lingers=True), [])
    assert "loginctl enable-linger ann" not in commands(lingering)
    assert facts.is_running


def test_where_namespaces_are_restricted_our_interpreter_gets_a_profile(facts: Facts) -> None:
    planned = changes_for(Wish(), replace(facts, restricts_namespaces=True), [])
    (profile,) = (c for c in planned if isinstance(c, WriteFile) and c.path == PROFILE)
    assert 'profile sandboxd "/opt/sandboxd/bin/python3" flags=(unconfined) {' in profile.content
    assert f"apparmor_parser --replace {PROFILE}" in commands(planned)


def test_everybodys_interpreter_gets_no_profile(facts: Facts) -> None:
    shared = replace(facts, restricts_namespaces=True, real_interpreter="/usr/bin/python3.12")
    with pytest.raises(HostError, match=r"everybody's.*--copies"):
        changes_for(Wish(), shared, [])


def test_an_interpreter_that_the_user_cannot_reach_is_named(facts: Facts) -> None:
    with pytest.raises(HostError, match=r"/root is closed to others.*/opt/sandboxd"):
        changes_for(Wish(), replace(facts, closed_directory="/root"), [])


def test_v1_trees_are_made_at_every_boot(facts: Facts) -> None:
    trees = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids")
    planned = changes_for(Wish(), replace(facts, v1_trees=trees), [])
    (file,) = (c for c in planned if isinstance(c, WriteFile) and c.path == TMPFILES)
    assert "d /sys/fs/cgroup/pids/sandboxd/997 0755 997 997\n" in file.content
    assert "z /sys/fs/cgroup/memory/sandboxd/997/tasks - 997 997\n" in file.content
    assert f"systemd-tmpfiles --create {TMPFILES}" in commands(planned)


def test_links_come_after_the_units_they_lead_to(facts: Facts) -> None:
    planned = changes_for(Wish(), facts, [])
    written = {c.path: n for n, c in enumerate(planned) if isinstance(c, WriteFile)}
    for number, change in enumerate(planned):
        if isinstance(change, MakeLink):
            assert written[change.target] < number


ids = st.integers(1, 400_000)
ranges = st.lists(st.tuples(ids, st.integers(1, 100_000)), max_size=8)


@given(uids=ranges, gids=ranges, users=st.lists(ids, max_size=5))
def test_a_given_range_overlaps_nobodys_ids(
    uids: list[tuple[int, int]], gids: list[tuple[int, int]], users: list[int]
) -> None:
    user = accounts.User("sandboxd", 997, 997, "/")
    texts: dict[str, str | None] = dict.fromkeys(accounts.FILES)
    texts[accounts.SUBUID] = "".join(f"u{n}:{a}:{b}\n" for n, (a, b) in enumerate(uids))
    texts[accounts.SUBGID] = "".join(f"u{n}:{a}:{b}\n" for n, (a, b) in enumerate(gids))
    texts[accounts.PASSWD] = "".join(f"p{n}:x:{n}:{n}::/:/x\n" for n in users)
    lines = accounts.new_ranges(user, texts, None)
    assert [line.path for line in lines] == [accounts.SUBUID, accounts.SUBGID]
    (mine,) = idmap.parse_ranges(lines[0].text, ("sandboxd",))
    assert mine.size == 65536
    for other in [*(Range(*r) for r in [*uids, *gids]), *(Range(n, 1) for n in users)]:
        assert mine.start >= other.start + other.size or other.start >= mine.start + mine.size


lines_of_text = st.lists(
    st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), max_size=6)
)


@given(lines=lines_of_text, end=st.sampled_from(["", "\n"]), count=st.integers(1, 3))
def test_added_lines_are_taken_out_to_the_last_byte(
    lines: list[str], end: str, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    place = root / "file"
    before = "\n".join(lines) + (end if lines else "")
    place.write_text(before, newline="")
    added = []
    for number in range(count):
        change = AddLine("/file", f"sandboxd:{number}:ours").seen(root)
        change.do(root)
        added.append(change)
    for change in reversed(added):
        assert change.undo(root) == ""
    assert place.read_bytes() == before.encode()


def test_the_shipped_units_are_as_documented() -> None:
    for mode in ("system", "user"):
        service = (units_directory() / mode / "sandboxd.service").read_text()
        settings = [line for line in service.splitlines() if line and line[0] not in "#["]
        assert {"Type=notify", "Delegate=yes", "KillMode=mixed"} <= set(settings)
        names = {line.partition("=")[0] for line in settings}
        assert "StateDirectory=sandboxd-blobs sandboxd-jobs" in settings
        assert "StateDirectoryMode=0700" in settings
        assert "Environment=SANDBOXD_BLOBS=%S/sandboxd-blobs" in settings
        assert "Environment=SANDBOXD_JOBS=%S/sandboxd-jobs" in settings
        # Each of these would break newuidmap, /proc or the locks of the id ranges.
        assert not names & {"NoNewPrivileges", "PrivateTmp", "SystemCallFilter", "ProtectProc"}
