"""A job that makes no sense is refused before anything starts, by field and rule."""

from __future__ import annotations

from typing import Any

import pytest

from sandboxd.errors import JobError
from sandboxd.model import job as jobs
from sandboxd.model.job import InputFile, Job, OutputPath, placed_path, writable_place_of

LONG_NAME = "n" * (jobs.MAX_NAME_BYTES + 1)
LONG_PATH = "/".join(["n" * 250] * 20)


def fields_refused(**fields: Any) -> list[str]:
    with pytest.raises(JobError) as error:
        Job(**{"argv": ("true",), **fields})
    assert all(violation.rule for violation in error.value.violations)
    return [violation.field for violation in error.value.violations]


def input_file(path: str) -> InputFile:
    return InputFile(path, b"")


def test_a_plain_job_is_fine() -> None:
    job = Job(argv=("true",))
    assert job.working_directory == "/workspace"
    assert job.policy == "default"


@pytest.mark.parametrize(
    ("argv", "field"),
    [
        ((), "argv"),
        (("",), "argv[0]"),
        (("a\0b",), "argv[0]"),
        (("true", "x\0"), "argv[1]"),
        (("true", "x" * (jobs.MAX_ARGUMENT_BYTES + 1)), "argv[1]"),
        (("true", "\ud800"), "argv[1]"),
        (("true",) * (jobs.MAX_ARGUMENT_COUNT + 1), "argv"),
        (("true", *["x" * 100_000] * 11), "argv"),
    ],
)
def test_a_wrong_argv_is_refused(argv: tuple[str, ...], field: str) -> None:
    assert fields_refused(argv=argv) == [field]


def test_an_empty_or_odd_argument_is_fine() -> None:
    odd = ("true", "", "\n", "ü", b"\xff\xfe".decode("utf-8", "surrogateescape"))
    assert Job(argv=odd).argv == odd


@pytest.mark.parametrize(
    ("env", "field"),
    [
        ({"": "x"}, "env['']"),
        ({"A=B": "x"}, "env['A=B']"),
        ({"A\0": "x"}, "env['A\\x00']"),
        ({"A": "x\0"}, "env['A']"),
        ({"A": "\ud800"}, "env['A']"),
        ({"A": "x" * jobs.MAX_ARGUMENT_BYTES}, "env['A']"),
        ({str(n): "" for n in range(jobs.MAX_ENV_COUNT + 1)}, "env"),
    ],
)
def test_a_wrong_environment_is_refused(env: dict[str, str], field: str) -> None:
    assert fields_refused(env=env) == [field]


def test_a_name_that_is_too_long_is_named_shortened() -> None:
    (field,) = fields_refused(env={LONG_NAME: "x"})
    assert field == f"env['{LONG_NAME[:-1]}']"


@pytest.mark.parametrize(
    "path", ["", "relative", "./x", "/a/../b", "/a//b", "/a/.", "/a/", "/a\0", f"/{LONG_NAME}"]
)
def test_a_wrong_working_directory_is_refused(path: str) -> None:
    assert fields_refused(working_directory=path) == ["working_directory"]


@pytest.mark.parametrize("path", ["/", "/usr", "/tmp/deep/below", "/workspace"])
def test_a_sound_working_directory_is_fine(path: str) -> None:
    assert Job(argv=("true",), working_directory=path).working_directory == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "..",
        "../x",
        "a/../../x",
        "./a",
        "a/./b",
        "a//b",
        "a/",
        "a\0b",
        "\ud800",
        LONG_NAME,
        LONG_PATH,
        "/etc/passwd",
        "/usr/bin/x",
        "/workspace",
        "/tmp",
        "/dev/shm",
        "/dev/null",
        "/tmpfile",
        "/workspace/../etc/passwd",
        "/",
        "/proc/self/mem",
    ],
)
def test_an_input_path_that_leads_elsewhere_is_refused(path: str) -> None:
    assert fields_refused(files=(input_file(path),)) == ["files[0].path"]


@pytest.mark.parametrize(
    "path", ["a", "a/b/c", "/tmp/x", "/dev/shm/x", "/workspace/x", "...", "a b"]
)
def test_a_sound_input_path_is_fine(path: str) -> None:
    assert Job(argv=("true",), files=(input_file(path),)).files[0].path == path


def test_a_relative_input_needs_a_writable_working_directory() -> None:
    files = (input_file("a"),)
    assert fields_refused(files=files, working_directory="/usr") == ["files[0].path"]


def test_two_inputs_at_the_same_place_are_refused() -> None:
    assert fields_refused(files=(input_file("a"), input_file("a"))) == ["files[1].path"]
    same = (input_file("a"), input_file("/workspace/a"))
    assert fields_refused(files=same) == ["files[1].path"]


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a"), ("/tmp/x/y/z", "/tmp/x")])
def test_a_path_that_is_both_file_and_directory_is_refused(paths: tuple[str, str]) -> None:
    (field,) = fields_refused(files=tuple(map(input_file, paths)))
    below = max(range(2), key=lambda n: len(paths[n]))
    assert field == f"files[{below}].path"


def test_a_working_directory_that_is_a_file_is_refused() -> None:
    files = (input_file("/tmp/w"),)
    assert fields_refused(files=files, working_directory="/tmp/w") == ["working_directory"]


def test_a_working_directory_below_a_file_is_refused() -> None:
    files = (input_file("/tmp/w"),)
    assert fields_refused(files=files, working_directory="/tmp/w/below") == ["working_directory"]


def test_too_many_or_too_large_inputs_are_refused() -> None:
    many = tuple(input_file(str(n)) for n in range(jobs.MAX_FILE_COUNT + 1))
    assert fields_refused(files=many) == ["files"]
    large = (InputFile("a", bytes(jobs.MAX_INPUT_BYTES)), InputFile("b", b"x"))
    assert fields_refused(files=large) == ["files"]
    assert fields_refused(stdin=bytes(jobs.MAX_INPUT_BYTES + 1)) == ["stdin"]


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "/workspace/a", "../x", "a/../b", "a//b", "a\0", LONG_NAME, "./a"]
)
def test_an_output_path_that_leads_elsewhere_is_refused(path: str) -> None:
    assert fields_refused(outputs=(OutputPath(path),)) == ["outputs[0].path"]


@pytest.mark.parametrize("path", ["a", "a/b", "*.o", "**/*.xml", "[ab]?", "**", "...", "a\nb"])
def test_a_sound_output_path_is_fine(path: str) -> None:
    assert Job(argv=("true",), outputs=(OutputPath(path),)).outputs[0].path == path


def test_too_many_outputs_or_the_same_one_twice_are_refused() -> None:
    many = tuple(OutputPath(str(n)) for n in range(jobs.MAX_OUTPUT_COUNT + 1))
    assert fields_refused(outputs=many) == ["outputs"]
    assert fields_refused(outputs=(OutputPath("a"), OutputPath("a"))) == ["outputs[1].path"]


@pytest.mark.parametrize("size", [0, -1, jobs.MAX_OUTPUT_BYTES + 1])
def test_a_meaningless_output_size_is_refused(size: int) -> None:
    wanted = (OutputPath("a", max_bytes=size),)
    assert fields_refused(outputs=wanted) == ["outputs[0].max_bytes"]


def test_every_violation_is_named_at_once() -> None:
    found = fields_refused(
        argv=("",), env={"": ""}, files=(input_file(".."),), outputs=(OutputPath("/"),)
    )
    assert found == ["argv[0]", "env['']", "files[0].path", "outputs[0].path"]


def test_paths_are_placed_where_they_say() -> None:
    job = Job(argv=("true",), working_directory="/tmp/w")
    assert placed_path(job, "a/b") == "/tmp/w/a/b"
    assert placed_path(job, "/dev/shm/a") == "/dev/shm/a"
    assert writable_place_of("/tmp/a") == "/tmp"
    assert writable_place_of("/tmpfs") is None
    assert writable_place_of("/dev/shm") == "/dev/shm"
