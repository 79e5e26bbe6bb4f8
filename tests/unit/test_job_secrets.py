"""Secrets of a job: joined to the rest for the program, apart from it for everybody else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cli import require_sandboxing, sandboxd

from sandboxd.errors import JobError
from sandboxd.model.job import MAX_ENV_COUNT, InputFile, Job, check_core
from sandboxd.server.audit import job_digest
from sandboxd.server.wire import from_job

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "c0ver-me"  # noqa: S105 - so it is called
JOB = Job(
    argv=("true",),
    env={"A": "1"},
    secret_env={"B": SECRET},
    stdin=SECRET.encode(),
    files=(InputFile("f", SECRET.encode(), secret=True), InputFile("g", SECRET.encode())),
)


def test_secret_variables_are_joined_to_the_others() -> None:
    assert JOB.env == {"A": "1", "B": SECRET}
    assert JOB.secret_env == {"B": SECRET}
    assert JOB.has_secrets


def test_a_copy_of_a_job_has_the_same_secrets() -> None:
    copy = replace(JOB, argv=("false",))
    assert (copy.env, copy.secret_env) == (JOB.env, JOB.secret_env)


@pytest.mark.parametrize(
    ("job", "has"),
    [
        (Job(argv=("true",), env={"A": "1"}, files=(InputFile("f", b"x"),)), False),
        (Job(argv=("true",), files=(InputFile("f", b"x", secret=True),)), True),
        (Job(argv=("true",), secret_env={"A": ""}), True),
    ],
)
def test_a_core_and_a_secret_exclude_each_other(job: Job, *, has: bool) -> None:
    assert job.has_secrets is has
    check_core(job, 0)
    check_core(job, None)
    if not has:
        check_core(job, 1)
        return
    with pytest.raises(JobError) as caught:
        check_core(job, 1)
    assert [violation.field for violation in caught.value.violations] == ["limits.core_bytes"]


@pytest.mark.parametrize(
    ("env", "secret_env", "fields"),
    [
        ({"A": "1"}, {"A": "2"}, ["secret_env['A']"]),
        ({}, {"": "x"}, ["secret_env['']"]),
        ({"B=": "x"}, {"A=": "x"}, ["env['B=']", "secret_env['A=']"]),
        ({}, {"A": "\0"}, ["secret_env['A']"]),
        ({}, {f"A{n}": "" for n in range(MAX_ENV_COUNT + 1)}, ["env"]),
    ],
)
def test_a_wrong_secret_variable_is_refused_by_its_place(
    env: dict[str, str], secret_env: dict[str, str], fields: list[str]
) -> None:
    with pytest.raises(JobError) as caught:
        Job(argv=("true",), env=env, secret_env=secret_env)
    assert [violation.field for violation in caught.value.violations] == fields


def test_no_repr_shows_what_is_in_it() -> None:
    assert SECRET not in repr(JOB)
    assert "InputFile(path='f', executable=False, secret=True)" in repr(JOB)


def test_a_digest_follows_all_but_the_secrets() -> None:
    def digest(**changes: object) -> str:
        return job_digest(from_job(replace(JOB, **changes)))  # type: ignore[arg-type]

    plain = {"env": {"A": "1"}}
    same = digest()
    assert digest(secret_env={"B": "other"}, **plain) == same
    assert digest(files=(InputFile("f", b"other", secret=True), JOB.files[1])) == same
    assert digest(secret_env={"C": SECRET}, **plain) != same
    assert digest(files=(InputFile("h", b"", secret=True), JOB.files[1])) != same
    assert digest(files=(JOB.files[0], InputFile("g", b"other"))) != same
    assert digest(stdin=b"") != same


# --- on the command line --------------------------------------------------------------------------


def test_run_passes_secrets_and_explain_does_not_show_them(tmp_path: Path) -> None:
    require_sandboxing()
    (tmp_path / "key").write_text(SECRET)
    options = ("--secret-env", "PASS", "--secret-file", f"k={tmp_path}/key")
    program = ("--", "sh", "-c", 'cat k; echo "$PASS"')
    done = sandboxd("run", *options, *program, env={"PASS": SECRET})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == f"{SECRET}{SECRET}\n"
    shown = sandboxd("run", "--explain", *options, *program, env={"PASS": SECRET})
    assert shown.returncode == 0
    assert b"workspace/k" in shown.stdout
    assert SECRET.encode() not in shown.stdout + shown.stderr


def test_run_refuses_a_secret_that_is_not_there() -> None:
    done = sandboxd("run", "--secret-env", "NO_SUCH_NAME", "--", "true")
    assert done.returncode == 125
    assert b"cannot pass NO_SUCH_NAME" in done.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--token-file", "/nonexistent/token"), b"cannot read /nonexistent/token"),
        (("--ca", "/nonexistent/ca"), b"cannot read /nonexistent/ca"),
        (("--cert", "c"), b"--cert and --key belong together"),
    ],
)
def test_run_names_the_credential_that_it_cannot_use(
    options: tuple[str, ...], named: bytes
) -> None:
    done = sandboxd("run", "--address", "127.0.0.1:1", *options, "--", "true")
    assert done.returncode == 125
    assert named in done.stderr
    assert done.stdout == b""


def test_run_takes_a_token_from_the_environment_and_shows_none() -> None:
    done = sandboxd("run", "--address", "192.0.2.1:1", "--", "true", env={"SANDBOXD_TOKEN": SECRET})
    assert done.returncode == 125
    assert b"cannot send a token to 192.0.2.1:1 without TLS" in done.stderr
    assert SECRET.encode() not in done.stderr
