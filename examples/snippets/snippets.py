"""Runs a snippet in Python, in Java and in C, each in a fresh sandbox, and prints its output.

python examples/snippets/snippets.py unix:/run/user/1000/sandboxd.sock
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from datetime import timedelta

import sandboxd

MIB = 1 << 20
LIMITS = sandboxd.Limits(cpu_time=timedelta(seconds=10), memory_bytes=256 * MIB)
JAVA_LIMITS = sandboxd.Limits(
    cpu_time=timedelta(seconds=20), memory_bytes=1024 * MIB, process_count=256
)


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of code, how to run it, and what it prints."""

    language: str
    needs: str
    """The program without which it cannot run."""
    argv: tuple[str, ...]
    file: sandboxd.InputFile
    answer: str
    limits: sandboxd.Limits = LIMITS


PYTHON = b"""\
print("Hello from Python,", sum(number * number for number in range(10)))
"""
JAVA = b"""\
import java.util.stream.IntStream;

class Main {
    public static void main(String[] arguments) {
        int sum = IntStream.range(0, 10).map(number -> number * number).sum();
        System.out.println("Hello from Java, " + sum);
    }
}
"""
C = b"""\
#include <stdio.h>

int main(void) {
    int sum = 0;
    for (int number = 0; number < 10; ++number) sum += number * number;
    printf("Hello from C, %d\\n", sum);
}
"""

SNIPPETS = (
    Snippet(
        "Python",
        "python3",
        ("python3", "main.py"),
        sandboxd.InputFile("main.py", PYTHON),
        "Hello from Python, 285\n",
    ),
    Snippet(
        "Java",
        "javac",  # java runs a source file only where the compiler is
        ("java", "-Xmx256m", "Main.java"),
        sandboxd.InputFile("Main.java", JAVA),
        "Hello from Java, 285\n",
        JAVA_LIMITS,
    ),
    Snippet(
        "C",
        "gcc",
        ("sh", "-c", "gcc -O2 -Wall -o main main.c && exec ./main"),
        sandboxd.InputFile("main.c", C),
        "Hello from C, 285\n",
    ),
)


def show(client: sandboxd.SyncClient, snippet: Snippet) -> bool:
    """Run one snippet, print what came of it, and tell whether it was right."""
    print(f"{snippet.language}: ", end="", flush=True)
    if not shutil.which(snippet.needs):
        print(f"skipped, {snippet.needs} is not installed here")
        return True
    result = client.run(snippet.argv, files=(snippet.file,), limits=snippet.limits)
    output = result.stdout.data.decode(errors="replace")
    print(output, end="" if output.endswith("\n") else "\n")
    cpu_seconds = result.usage.cpu_time.total_seconds()
    memory = result.usage.peak_memory_bytes / MIB
    print(f"    {result.ending}, {cpu_seconds:.2f} s of CPU, {memory:.0f} MiB")
    print(result.stderr.data.decode(errors="replace"), end="")
    return result.ending == sandboxd.Exited(0) and output == snippet.answer


def main() -> int:
    """Run all snippets."""
    parser = argparse.ArgumentParser(description="Run snippets in three languages.")
    parser.add_argument("address", help="of a sandboxd server: unix:PATH or HOST:PORT")
    with sandboxd.SyncClient(parser.parse_args().address) as client:
        right = [show(client, snippet) for snippet in SNIPPETS]
    return 0 if all(right) else 1


if __name__ == "__main__":
    raise SystemExit(main())
