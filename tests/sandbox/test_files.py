"""Files go in and come out as they are, and what is no plain file is named for what it is."""

from __future__ import annotations

import pytest
from house import House, seconds

from sandboxd.model.job import InputFile, OutputPath
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, FileFault, LimitExceeded, OutputFile

EVERY_BYTE = bytes(range(256)) * 300


def brought_out(
    house: House, script: str, *wanted: OutputPath, **fields: object
) -> list[OutputFile]:
    result = house.shell(script, outputs=wanted, **fields)
    assert result.ending == Exited(0), result
    return list(result.files)


def only_fault(house: House, script: str, path: str = "f", **fields: object) -> FileFault | None:
    (found,) = brought_out(house, script, OutputPath(path), **fields)
    assert found.path == path
    assert found.content is None
    return found.fault


# --- in -------------------------------------------------------------------------------------------


def test_input_files_are_there_with_their_content_mode_and_owner(house: House) -> None:
    files = (
        InputFile("plain", EVERY_BYTE),
        InputFile("deep/below/script", b"#!/bin/sh\n", executable=True),
        InputFile("/tmp/absolute/file", b"a"),
        InputFile("/dev/shm/shared", b"s"),
        InputFile("empty", b""),
    )
    script = "stat -c '%a %u:%g %s' plain deep deep/below/script /tmp/absolute/file /dev/shm/shared"
    script += " empty"
    lines = house.output("/bin/sh", "-c", script, files=files).splitlines()
    modes = [line.rsplit(" ", 1)[0] for line in lines]
    assert modes == [f"{mode} 1000:1000" for mode in (644, 755, 755, 644, 644, 644)]
    sizes = [int(lines[n].rsplit(" ", 1)[1]) for n in (0, 2, 3, 4, 5)]
    assert sizes == [len(EVERY_BYTE), 10, 1, 1, 0]
    result = house.run("cat", "plain", files=files)
    assert result.stdout.data == EVERY_BYTE


def test_input_files_are_relative_to_the_working_directory(house: House) -> None:
    files = (InputFile("a", b"x"),)
    assert house.output("cat", "/tmp/here/a", files=files, working_directory="/tmp/here") == "x"


def test_the_program_may_change_and_remove_its_inputs(house: House) -> None:
    files = (InputFile("d/a", b"x"),)
    result = house.shell("echo y > d/a && mv d/a d/b && touch d/c && rm -r d", files=files)
    assert result.ending == Exited(0), result


@pytest.mark.parametrize("name", ["with\nnewline", "ünï", "-rf", " ", "'\"$(id)", "a" * 255])
def test_odd_names_go_in_and_come_out(house: House, name: str) -> None:
    files = (InputFile(f"in/{name}", b"content"),)
    result = house.shell("cp -r in out", files=files, outputs=(OutputPath(f"out/{name}"),))
    assert result.files == (OutputFile(f"out/{name}", b"content"),)


def test_a_name_that_is_no_utf8_goes_in_and_comes_out(house: House) -> None:
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    result = house.shell(
        "cp in/* .", files=(InputFile(f"in/{name}", b"content"),), outputs=(OutputPath(name),)
    )
    assert result.files == (OutputFile(name, b"content"),)


def test_a_thousand_files_go_in_and_come_out(house: House) -> None:
    files = tuple(InputFile(f"d{n % 7}/{n}", str(n).encode()) for n in range(1000))
    result = house.run("/bin/true", files=files, outputs=(OutputPath("**"),))
    assert {f.path: f.content for f in result.files} == {f.path: f.content for f in files}


def test_many_bytes_go_in_and_come_out(house: House) -> None:
    content = EVERY_BYTE * 200
    wanted = (OutputPath("copy", max_bytes=32 * MIB),)
    files = (InputFile("big", content),)
    result = house.run("cp", "big", "copy", files=files, outputs=wanted)
    assert result.files == (OutputFile("copy", content),)


# --- standard streams -----------------------------------------------------------------------------


def test_stdin_comes_through_byte_for_byte(house: House) -> None:
    content = EVERY_BYTE * 50
    result = house.run("cat", stdin=content, limits=Limits(output_bytes=8 * MIB))
    assert result.stdout.data == content


def test_no_stdin_is_an_empty_one(house: House) -> None:
    assert house.run("cat").ending == Exited(0)
    assert house.run("wc", "-c").stdout.data == b"0\n"


def test_stdin_is_not_writable_and_can_be_left_unread(house: House) -> None:
    assert house.run("/bin/true", stdin=b"x" * (8 * MIB)).ending == Exited(0)
    assert house.shell("echo x >&0", stdin=b"abc").ending != Exited(0)


def test_the_standard_streams_can_be_opened_again_by_name(house: House) -> None:
    script = "cat /dev/stdin > /dev/stdout; echo e > /dev/stderr; cat /proc/self/fd/0 >/dev/fd/1"
    result = house.shell(script, stdin=b"in\n")
    assert result.ending == Exited(0), result
    assert result.stdout.data == b"in\nin\n"
    assert result.stderr.data == b"e\n"


def test_stderr_is_a_stream_of_its_own(house: House) -> None:
    result = house.shell("printf out; printf err >&2")
    assert (result.stdout.data, result.stderr.data) == (b"out", b"err")


# --- out ------------------------------------------------------------------------------------------


def test_an_output_file_comes_out_byte_for_byte(house: House) -> None:
    (found,) = brought_out(house, "cat > f", OutputPath("f"), stdin=EVERY_BYTE)
    assert found == OutputFile("f", EVERY_BYTE)


def test_an_executable_output_says_so(house: House) -> None:
    script = "echo x > f; chmod 755 f; echo y > g"
    found = brought_out(house, script, OutputPath("f"), OutputPath("g"))
    assert [(f.path, f.executable) for f in found] == [("f", True), ("g", False)]


def test_a_glob_brings_out_what_it_matches_and_nothing_else(house: House) -> None:
    script = "mkdir -p d/e; touch a.o b.o b.c d/c.o d/e/f.o d/e/.hidden"

    def paths(pattern: str) -> set[str]:
        return {f.path for f in brought_out(house, script, OutputPath(pattern))}

    assert paths("*.o") == {"a.o", "b.o"}
    assert paths("?.[c]") == {"b.c"}
    assert paths("d/*.o") == {"d/c.o"}
    assert paths("*/c.o") == {"d/c.o"}
    assert paths("**/*.o") == {"a.o", "b.o", "d/c.o", "d/e/f.o"}
    assert paths("d/**") >= {"d/c.o", "d/e/f.o"}


def test_a_glob_without_a_match_is_missing_unless_it_is_optional(house: House) -> None:
    assert only_fault(house, "true", "*.o") is FileFault.MISSING
    assert brought_out(house, "true", OutputPath("*.o", optional=True)) == []


def test_a_glob_passes_over_what_is_no_plain_file(house: House) -> None:
    script = "mkfifo p; ln -s /etc/passwd l; mkdir d; echo x > f"
    found = brought_out(house, script, OutputPath("*"))
    assert [f.path for f in found] == ["f"]


def test_a_glob_does_not_walk_through_links(house: House) -> None:
    script = "ln -s /etc e; ln -s . loop; echo x > f"
    found = brought_out(house, script, OutputPath("**"))
    assert [f.path for f in found] == ["f"]


def test_a_missing_output_is_named_unless_it_is_optional(house: House) -> None:
    assert only_fault(house, "true") is FileFault.MISSING
    assert only_fault(house, "touch f", "f/below") is FileFault.MISSING
    assert brought_out(house, "true", OutputPath("f", optional=True)) == []


def test_a_link_is_never_followed(house: House) -> None:
    assert only_fault(house, "ln -s /etc/passwd f") is FileFault.LINK
    assert only_fault(house, "echo x > g; ln -s g f") is FileFault.LINK
    assert only_fault(house, "ln -s /nowhere f") is FileFault.LINK
    assert only_fault(house, "ln -s f f") is FileFault.LINK
    assert only_fault(house, "ln -s /proc/self/root f") is FileFault.LINK


def test_a_link_on_the_way_is_never_followed(house: House) -> None:
    assert only_fault(house, "ln -s /etc d", "d/passwd") is FileFault.LINK
    assert only_fault(house, "mkdir e; echo x > e/f; ln -s e d", "d/f") is FileFault.LINK


def test_a_pipe_does_not_block_and_is_named(house: House) -> None:
    assert only_fault(house, "mkfifo f") is FileFault.PIPE


def test_a_directory_is_named(house: House) -> None:
    assert only_fault(house, "mkdir f") is FileFault.DIRECTORY


def test_a_socket_is_named(house: House) -> None:
    script = "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('f')\""
    assert only_fault(house, script) is FileFault.NOT_REGULAR


def test_too_large_a_file_is_named_and_costs_nothing(house: House) -> None:
    wanted = OutputPath("f", max_bytes=1000)
    (found,) = brought_out(house, "head -c 1001 /dev/zero > f", wanted)
    assert (found.content, found.fault) == (None, FileFault.TOO_LARGE)
    (found,) = brought_out(house, "head -c 1000 /dev/zero > f", wanted)
    assert found.content == bytes(1000)


def test_a_sparse_file_of_8_tib_is_too_large_and_read_by_nobody(house: House) -> None:
    limits = Limits(file_size_bytes=house.host.ceilings.file_size_bytes)
    script = f"truncate -s {limits.file_size_bytes} f"
    assert only_fault(house, script, limits=limits) is FileFault.TOO_LARGE
    refused = house.shell(f"truncate -s {8 << 40} f", limits=limits, outputs=(OutputPath("f"),))
    assert refused.ending != Exited(0), "the ceiling of file_size_bytes holds for sparse files, too"


def test_a_sparse_file_within_its_size_comes_out_whole(house: House) -> None:
    (found,) = brought_out(house, "truncate -s 1M f", OutputPath("f"))
    assert found.content == bytes(1 * MIB)


def test_the_outputs_together_are_bounded(house: House) -> None:
    script = "for n in 1 2 3 4 5; do head -c 16777216 /dev/zero > f$n; done"
    limits = Limits(scratch_bytes=128 * MIB, memory_bytes=256 * MIB)
    found = brought_out(house, script, OutputPath("f?"), limits=limits)
    assert [f.fault for f in found] == [None] * 4 + [FileFault.TOO_LARGE]


def test_a_file_without_any_permission_comes_out_or_is_named(house: House) -> None:
    (found,) = brought_out(house, "echo x > f; chmod 0 f", OutputPath("f"))
    assert found.content == b"x\n" or found.fault is FileFault.NOT_ALLOWED


def test_a_directory_without_any_permission_hides_nothing_but_its_own(house: House) -> None:
    script = "mkdir d; echo x > d/f; chmod 0 d; echo y > g"
    found = brought_out(house, script, OutputPath("d/f"), OutputPath("**"), OutputPath("g"))
    assert OutputFile("g", b"y\n") in found


def test_files_of_a_killed_program_come_out_too(house: House) -> None:
    result = house.shell(
        "echo x > f; sleep 60", outputs=(OutputPath("f"),), limits=Limits(wall_time=seconds(0.5))
    )
    assert result.ending == LimitExceeded("wall_time")
    assert result.files == (OutputFile("f", b"x\n"),)


def test_files_of_a_program_killed_for_memory_come_out_too(house: House) -> None:
    script = "echo x > f; exec python3 -c \"x = b'x' * (200 << 20)\""
    limits = Limits(memory_bytes=64 * MIB)
    result = house.shell(script, outputs=(OutputPath("f"),), limits=limits)
    assert result.ending == LimitExceeded("memory_bytes")
    assert result.files == (OutputFile("f", b"x\n"),)


def test_files_of_a_program_that_was_not_started_are_missing(house: House) -> None:
    result = house.run("missing-program", outputs=(OutputPath("f"),))
    assert all(found.fault is FileFault.MISSING for found in result.files)


def test_outputs_are_missing_when_the_working_directory_was_removed(house: House) -> None:
    fields = {"working_directory": "/tmp/w", "outputs": (OutputPath("f"), OutputPath("*"))}
    result = house.shell("cd / && rm -r /tmp/w", **fields)
    assert result.ending == Exited(0), result
    assert [f.fault for f in result.files] == [FileFault.MISSING] * 2


def test_a_working_directory_that_became_a_link_gives_nothing_of_its_target(house: House) -> None:
    fields = {"working_directory": "/tmp/w", "outputs": (OutputPath("passwd"),)}
    result = house.shell("cd / && rm -r /tmp/w && ln -s /etc /tmp/w", **fields)
    assert result.ending == Exited(0), result
    assert [f.content for f in result.files] == [None]


def test_a_required_and_an_optional_output_stand_side_by_side(house: House) -> None:
    wanted = (OutputPath("a"), OutputPath("b", optional=True), OutputPath("c"))
    found = brought_out(house, "echo 1 > c", *wanted)
    assert [(f.path, f.fault) for f in found] == [("a", FileFault.MISSING), ("c", None)]


def test_a_running_background_writer_cannot_change_a_file_on_its_way_out(house: House) -> None:
    code = """
import os, sys
if os.fork() == 0:
    while True:
        with open('f', 'r+b') as file:
            file.write(b'y' * 4096)
open('f', 'wb').write(b'x' * 4096)
os._exit(0)
"""
    result = house.python(code, outputs=(OutputPath("f"),))
    (found,) = result.files
    assert found.content is not None
    assert len(found.content) == 4096


def test_a_tree_of_many_files_is_brought_out_within_bounds(house: House) -> None:
    script = "for d in 1 2 3; do mkdir $d; for n in $(seq 500); do : > $d/$n; done; done"
    found = brought_out(house, script, OutputPath("**"))
    assert 1000 <= len(found) <= 1500
