"""What users copy: each example is run as its page says, against `sandboxd serve`.

With SANDBOXD_TEST_ROUNDS above 1 the judge judges the solutions in Java, too, so many times.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
from conftest import ROOT
from lane import unavailable
from post import PATIENCE, daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from post import Daemon

pytestmark = pytest.mark.usefixtures("sandboxing_host")

EXAMPLES = ROOT / "examples"
PROBLEMS = EXAMPLES / "judge" / "problems"
ROUNDS = int(os.environ.get("SANDBOXD_TEST_ROUNDS", "1"))
LONG_SECONDS = 600
SECRET = "hunter2"  # noqa: S105 - nobody's
ENDINGS = {"OK", "WA", "PE", "TLE", "ILE", "MLE", "OLE", "RE", "SV", "CE"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Give a server as README.md has it started, with some slots more."""
    directory = tmp_path_factory.mktemp("server")
    with daemon(directory, "--slots", "6", "--blobs", str(directory / "blobs")) as running:
        yield running


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            unavailable(f"{program} is not installed")


def started(name: str, server: Daemon, *options: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(EXAMPLES / name), server.unix, *options]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run(name: str, server: Daemon, *options: str, given: str = "", **env: str) -> tuple[int, str]:
    """Run an example to its end; give its exit code and what it wrote."""
    with started(name, server, *options, **env) as process:
        try:
            output, _ = process.communicate(given, timeout=LONG_SECONDS)
        finally:
            process.kill()
    return process.returncode, output


# --- the judge ------------------------------------------------------------------------------------


def declared() -> list[tuple[str, str, str]]:
    """Name each solution's problem, its language and its verdict."""
    return [
        (path.parent.name, name.rpartition(".")[2], verdict.partition(" ")[0])
        for path in PROBLEMS.glob("*/problem.toml")
        for name, verdict in tomllib.loads(path.read_text())["solutions"].items()
    ]


def test_each_language_has_a_solution_for_each_ending() -> None:
    found = {(language, verdict) for _, language, verdict in declared()}
    wanted = {(language, ending) for language in ("cpp", "py", "java") for ending in ENDINGS}
    assert wanted | {(language, "PC") for language in ("cpp", "py", "java")} == found
    assert len({problem for problem, _, _ in declared()}) >= 12


def test_no_solution_is_left_out() -> None:
    for path in PROBLEMS.glob("*/problem.toml"):
        there = {solution.name for solution in (path.parent / "solutions").iterdir()}
        assert set(tomllib.loads(path.read_text())["solutions"]) == there


def test_every_solution_gets_the_verdict_that_it_deserves(server: Daemon) -> None:
    needs("g++", "python3")
    suffixes = [".cpp"]
    if ROUNDS > 1:
        needs("javac", "jar")
        suffixes += [".py", ".java"]
    languages = [option for suffix in suffixes for option in ("--language", suffix)]
    code, output = run(
        "judge/judge.py", server, *languages, "--parallel", "6", "--rounds", str(ROUNDS)
    )
    count = sum(f".{language}" in suffixes for _, language, _ in declared())
    rounds = [line for line in output.splitlines() if line.startswith("round ")]
    expected = [f"round {n + 1}: {count} solutions, 0 surprises" for n in range(ROUNDS)]
    assert rounds == expected, output
    assert code == 0


def test_java_is_judged_too(server: Daemon) -> None:
    needs("javac", "jar")
    options = ("--language", ".java", "--problem", "noisy_line")
    code, output = run("judge/judge.py", server, *options)
    assert (code, output.splitlines()[-1]) == (0, "round 1: 2 solutions, 0 surprises"), output


@pytest.fixture
def broken_problem(tmp_path: Path) -> Path:
    """Give a directory with a problem whose checker fails for negative answers."""
    problem = tmp_path / "broken"
    (problem / "solutions").mkdir(parents=True)
    (problem / "problem.toml").write_text(
        'title = "Broken"\nkind = "batch"\nchecker = "check.py"\n'
        '[solutions]\n"good.py" = "OK"\n"negative.py" = "JE"\n"bad.py" = "OK"\n'
    )
    (problem / "generate.py").write_text(
        "from kit import write_test\nwrite_test('all.0', '1')\nwrite_test('all.1', '2')\n"
    )
    (problem / "check.py").write_text(
        "import math\nfrom kit import accept, arguments, wrong\n"
        "answer = math.sqrt(int(arguments()[1]))\n"  # raises for what is negative
        "accept() if answer == 2 else wrong(f'{answer} is not 2')\n"
    )
    for name, number in (("good", 4), ("negative", -4), ("bad", 9)):
        (problem / "solutions" / f"{name}.py").write_text(f"print({number})\n")
    return tmp_path


def test_a_broken_checker_is_no_solutions_fault_and_a_surprise_is_told(
    server: Daemon, broken_problem: Path
) -> None:
    code, output = run("judge/judge.py", server, "--problems", str(broken_problem))
    assert code == 1
    told = output.splitlines()
    assert told[-1] == "round 1: 3 solutions, 1 surprises"
    assert "bad.py deserves accepted, 100 points, and got wrong answer, 0 points" in told[-3]
    assert told[-2] == "    all.0: 3.0 is not 2"
    assert "1 to be judged again: broken/solutions/negative.py" in output


# --- the CI step ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 0", 0),
        ("exit 41", 41),
        ("kill -SEGV $$", 128 + signal.SIGSEGV),
        ("exec sleep 60", 124),
    ],
)
def test_a_step_exits_as_its_command(
    server: Daemon, tmp_path: Path, script: str, code: int
) -> None:
    options = ("--workspace", str(tmp_path), "--seconds", "1")
    assert run("ci_step.py", server, *options, "--", "sh", "-c", script)[0] == code


def test_a_step_that_cannot_be_started_says_so(server: Daemon, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    options = ("--workspace", str(tmp_path), "--")
    assert run("ci_step.py", server, *options, "no-such-program")[0] == 127
    assert run("ci_step.py", server, *options, "./text")[0] == 126


def test_a_step_has_a_copy_and_gives_artifacts_back(server: Daemon, tmp_path: Path) -> None:
    workspace, out = tmp_path / "workspace", tmp_path / "out"
    (workspace / "bin").mkdir(parents=True)
    (workspace / "bin" / "greet").write_text("#!/bin/sh\necho hello > built/a/greeting.txt\n")
    (workspace / "bin" / "greet").chmod(0o755)
    (workspace / "input").write_text("as it was")
    (workspace / "link").symlink_to("/etc/hostname")
    code, output = run(
        *("ci_step.py", server, "--workspace", str(workspace), "--out", str(out)),
        *("--artifact", "built/**/*.txt", "--artifact", "none*"),
        *(
            "--",
            "sh",
            "-c",
            "test ! -e link && mkdir -p built/a && bin/greet && rm input && touch built/b",
        ),
    )
    assert code == 0, output
    assert (workspace / "input").read_text() == "as it was"
    files = [path for path in out.rglob("*") if path.is_file()]
    assert files == [out / "built" / "a" / "greeting.txt"]
    assert files[0].read_text() == "hello\n"


def test_a_secret_reaches_the_command_and_not_the_log(server: Daemon, tmp_path: Path) -> None:
    script = 'test "$TOKEN" = "$1$2" || exit 9; echo "it is $TOKEN"; printf "$1"; printf "$2"'
    options = ("--workspace", str(tmp_path), "--secret-env", "TOKEN")
    command = ("--", "sh", "-c", script, "sh", "hunt", "er2")
    code, output = run("ci_step.py", server, *options, *command, TOKEN=SECRET)
    assert code == 0
    assert SECRET not in output
    assert "step: TOKEN=*** sh -c" in output
    assert "it is ***\n***" in output


def test_no_line_of_a_secret_is_shown(server: Daemon, tmp_path: Path) -> None:
    options = ("--workspace", str(tmp_path), "--secret-env", "TOKEN", "--", "sh", "-c")
    code, output = run("ci_step.py", server, *options, 'echo "$TOKEN"', TOKEN=f"first\n{SECRET}")
    assert code == 0
    assert "***\n***\n" in output
    assert SECRET not in output


def test_a_secret_in_the_command_itself_is_not_shown(server: Daemon, tmp_path: Path) -> None:
    options = ("--workspace", str(tmp_path), "--secret-env", "TOKEN", "--", "test", SECRET, "=")
    code, output = run("ci_step.py", server, *options, SECRET, TOKEN=SECRET)
    assert code == 0
    assert SECRET not in output


@pytest.mark.parametrize(
    ("trap", "code", "last_words"),
    [("trap 'echo cleaned; exit 7' TERM", 7, ["cleaned"]), ("trap '' TERM", 137, [])],
)
def test_a_step_is_heard_live_and_cancelled_politely(
    server: Daemon, tmp_path: Path, trap: str, code: int, last_words: list[str]
) -> None:
    script = f"{trap}; echo ready; while :; do sleep 0.1; done"
    options = ("--workspace", str(tmp_path), "--grace", "1", "--", "sh", "-c", script)
    with started("ci_step.py", server, *options) as process:
        assert process.stdout is not None
        try:
            while (line := process.stdout.readline()) != "ready\n":
                assert line, "it ended before it was ready"
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == code, rest
    said = [line for line in rest.splitlines() if line != "Terminated"]  # the shell, of its sleep
    assert said[:-1] == ["cancelled: TERM, and KILL after 1 s", *last_words]


# --- the farm, and others -------------------------------------------------------------------------


def test_a_farm_finds_a_failing_seed_and_shrinks_it(server: Daemon) -> None:
    needs("g++")
    code, output = run("property_farm.py", server)
    assert code == 1, output
    assert "1000 seeds in " in output
    assert output.splitlines()[-1] == "a" * 16, "the shortest run whose length has two digits"


@pytest.mark.parametrize("name", ["ci/ci.py", "snippets/snippets.py"])
def test_other_examples_run_to_a_good_end(server: Daemon, name: str) -> None:
    code, output = run(name, server)
    assert code == 0, output


# --- the agent ------------------------------------------------------------------------------------


def talk(server: Daemon, *calls: dict[str, object]) -> list[str]:
    """Have an agent call tools; give what each of them said."""
    given = "".join(f"{json.dumps(call)}\n" for call in calls)
    code, output = run("agent_session.py", server, given=given)
    assert code == 0, output
    return [json.loads(line)["text"] for line in output.splitlines()]


def python(code: str) -> dict[str, object]:
    return {"tool": "python", "code": code}


def test_an_agents_variables_stay_from_call_to_call(server: Daemon) -> None:
    assert talk(
        server,
        python("import math\nside = 3"),
        python("print('side', side)\nmath.hypot(side, 4)"),
        python("def twice(x):\n    return 2 * x"),
        python("twice(side)"),
    ) == ["(no output)", "side 3\n5.0", "(no output)", "6"]


def test_an_agents_files_go_in_and_out(server: Daemon) -> None:
    said = talk(
        server,
        {"tool": "write_file", "path": "data/in.csv", "text": "a,b\n1,2\n"},
        python("open('out.txt', 'w').write(open('data/in.csv').read().upper())"),
        {"tool": "read_file", "path": "out.txt"},
        {"tool": "shell", "command": "wc -l < out.txt; ls | sort"},
        {"tool": "read_file", "path": "nothing"},
        {"tool": "write_file", "path": "../escape", "text": ""},
    )
    assert said[1:4] == ["8", "A,B\n1,2\n", "2\ndata\nout.txt"]
    assert said[4] == "Error: there is no file nothing. `shell` with `ls -R` shows what there is."
    assert said[5].startswith("Error: ")
    assert "'..'" in said[5]


def test_an_agents_errors_say_what_is_wrong_and_what_is_left(server: Daemon) -> None:
    said = talk(
        server,
        python("kept = 1"),
        python("1 / 0"),
        python("print(kept"),
        python("while True: pass"),
        python("kept"),
        python("import os\nos._exit(3)"),
        python("kept"),
        {"tool": "shell", "command": "echo to stderr >&2; exit 4"},
        {"tool": "shell", "command": "sleep 100"},
        {"tool": "dance"},
        {"tool": "python"},
        {"tool": "python", "code": 5},
    )
    assert said[1] == 'Error: ZeroDivisionError: division by zero, in line 1: "1 / 0"'
    assert said[2].startswith("Error: SyntaxError: '(' was never closed, in line 1")
    assert said[3] == "Error: stopped after 2 s. Variables and files are as they were left."
    assert said[4] == "1"
    assert said[5] == "Error: Python has ended: exit code 3. Variables are lost, files are not."
    assert said[6].startswith("Error: NameError: name 'kept' is not defined")
    assert said[7] == "to stderr\nError: the command has ended: exit code 4."
    assert said[8] == "Error: stopped after 2 s. Files are as they were left."
    assert said[9].startswith("Error: there is no tool dance; there are ")
    assert said[10:] == ["Error: python needs code, as text."] * 2


@pytest.mark.parametrize("line", ["", "{", "5", '"tool"', "[1]"])
def test_a_line_that_is_no_call_is_answered(server: Daemon, line: str) -> None:
    code, output = run("agent_session.py", server, given=f"{line}\n")
    assert code == 0
    text = "Error: a call is an object of JSON on one line, with a tool."
    assert json.loads(output) == {"text": text}


def test_an_agent_that_eats_all_memory_is_told_so_and_goes_on(server: Daemon) -> None:
    said = talk(
        server,
        {"tool": "write_file", "path": "note", "text": "still here"},
        python("hoard = bytearray(1 << 31)"),
        {"tool": "read_file", "path": "note"},
        python("6 * 7"),
    )
    assert said[1].startswith("Error: Python has ended: more than 256 MiB of memory in use.")
    assert said[2:] == ["still here", "42"]


def test_an_agents_code_that_does_not_heed_is_ended_by_force(server: Daemon) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    said = talk(server, python("kept = 1"), python(deaf), python("6 * 7"))
    assert said[1] == "Error: stopped after 2 s, by force. Variables are lost, files are not."
    assert said[2] == "42"


def test_long_output_has_its_beginning_and_its_end(server: Daemon) -> None:
    (said,) = talk(server, python("print('x' * 50_000)\nprint('last')"))
    assert len(said) < 11_000
    assert said.startswith("xxx")
    assert "letters left out" in said
    assert said.endswith("last")
