"""A farm for property tests: a thousand short runs of one program, and the failing one shrunk.

    python examples/property_farm.py unix:/run/user/1000/sandboxd.sock

The program packs texts and unpacks them again; the property is that they come back. It is compiled
once and stays on the server. Each seed runs in a sandbox of its own, so that a crash, a loop
without end and a hunger for memory are findings like any other.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

import sandboxd
from sandboxd.model.batch import Case, Rule, has_failed
from sandboxd.model.outcome import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MIB = 1 << 20
LIMITS = sandboxd.Limits(
    cpu_time=timedelta(seconds=1), wall_time=timedelta(seconds=20), memory_bytes=32 * MIB
)
COMPILER_LIMITS = sandboxd.Limits(cpu_time=timedelta(seconds=20), memory_bytes=512 * MIB)
PROGRAM = r"""
// Packs runs of a letter as letter and length, and unpacks them. It has a defect.
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <random>
#include <string>

static std::string packed(const std::string& text) {
    std::string result;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at;
        while (end < text.size() && text[end] == text[at]) ++end;
        result += text[at];
        result += static_cast<char>('0' + (end - at) % 16);  // 16 and more need a second digit
        at = end;
    }
    return result;
}

static std::string unpacked(const std::string& text) {
    std::string result;
    for (std::size_t at = 0; at < text.size(); at += 2) result.append(text[at + 1] - '0', text[at]);
    return result;
}

static std::string made(unsigned seed) {
    std::mt19937 random(seed);
    std::string text;
    for (unsigned runs = random() % 12; runs > 0; --runs) {
        unsigned length = random() % 500 ? random() % 9 : random() % 60;
        text.append(length, static_cast<char>('a' + random() % 4));
    }
    return text;
}

// With a seed: makes a text and prints it. Without: takes the text from standard input.
int main(int count, char** arguments) {
    std::string text = count > 1
        ? made(std::strtoul(arguments[1], nullptr, 10))
        : std::string(std::istreambuf_iterator<char>(std::cin), {});
    std::cout << text;
    return unpacked(packed(text)) == text ? 0 : 1;
}
"""


async def compiled(client: sandboxd.Client) -> sandboxd.Job:
    """Compile the program; give the job that runs it, from a blob."""
    result = await client.run(
        ["g++", "-std=c++17", "-O1", "-o", "program", "program.cpp"],
        files=(sandboxd.InputFile("program.cpp", PROGRAM.encode()),),
        outputs=(sandboxd.OutputPath("program", store=True),),
        limits=COMPILER_LIMITS,
        policy="build",
    )
    if result.ending != sandboxd.Exited(0) or (blob := result.files[0].blob) is None:
        raise SystemExit(f"cannot compile: {result.ending}\n{result.stderr.data.decode()}")
    print(f"compiled: {blob}, {blob.size_bytes} bytes, stored once")
    return sandboxd.Job(
        argv=("./program",),
        files=(sandboxd.InputFile("program", blob, executable=True),),
        limits=LIMITS,
        policy="strict",
    )


async def failures(
    client: sandboxd.Client, job: sandboxd.Job, cases: Sequence[Case], rule: Rule
) -> dict[int, sandboxd.RunResult]:
    """Run all cases; give those that failed, by their places."""
    found = {}
    async with aclosing(client.run_batch(job, cases, rule=rule)) as answers:
        async for index, answer in answers:
            if isinstance(answer, Fault):  # of the sandbox: says nothing about the property
                raise SystemExit(f"cannot run case {index}: {answer.reason}: {answer.message}")
            if isinstance(answer, sandboxd.RunResult) and has_failed(answer):
                found[index] = answer
    return found


def smaller(text: bytes) -> Iterator[bytes]:
    """Give texts that are simpler: without a part, large parts first; then of plainer letters."""
    size = len(text)
    while size:
        for start in range(0, len(text), size):
            yield text[:start] + text[start + size :]
        size //= 2
    yield from (text.replace(letter, b"a") for letter in (b"b", b"c", b"d") if letter in text)


async def shrunk(client: sandboxd.Client, job: sandboxd.Job, text: bytes) -> tuple[bytes, int]:
    """Look for the smallest text that fails still; give it, and how many batches it took."""
    batch_count = 0
    while candidates := list(dict.fromkeys(smaller(text))):
        batch_count += 1
        cases = [Case(stdin=candidate) for candidate in candidates]
        failed = await failures(client, job, cases, Rule.STOP)
        if not failed:
            break
        text = min((candidates[index] for index in failed), key=lambda text: (len(text), text))
    return text, batch_count


async def main() -> int:
    """Sow, and show what grew."""
    parser = argparse.ArgumentParser(description="Test a property with many seeds.")
    parser.add_argument("address", help="of a sandboxd server that keeps blobs")
    parser.add_argument("--count", type=int, default=1000, help="seeds (1000)")
    options = parser.parse_args()
    async with sandboxd.Client(options.address) as client:
        job = await compiled(client)
        cases = [Case(argv=("./program", str(seed))) for seed in range(options.count)]
        began = time.monotonic()
        failed = await failures(client, job, cases, Rule.ALL)
        seconds = time.monotonic() - began
        print(f"{len(cases)} seeds in {seconds:.1f} s, {len(cases) / seconds:.0f} a second")
        if not failed:
            print("the property holds for all")
            return 0
        seed = min(failed)
        text = failed[seed].stdout.data
        print(f"{len(failed)} fail, the first is {seed}: {failed[seed].ending} for {text.decode()}")
        smallest, batch_count = await shrunk(client, job, text)
    print(f"shrunk by {batch_count} batches, {len(text)} to {len(smallest)} letters:")
    print(smallest.decode())
    return 1


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
