"""The host's compilers and interpreters work inside, with all of their usual habits."""

from __future__ import annotations

import os

import pytest
from house import House, has, seconds

from sandboxd.model.job import InputFile, Network, OutputPath
from sandboxd.model.limits import GIB, MIB, Limits
from sandboxd.model.outcome import Exited

GO = "/usr/local/go/bin/go"
ROOMY = Limits(
    cpu_time=seconds(50),
    wall_time=seconds(55),
    memory_bytes=2 * GIB,
    process_count=256,
    scratch_bytes=512 * MIB,
    open_file_count=4096,
)


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if not has(program)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed in /usr: {missing}")


@needs("gcc")
def test_a_c_program_compiles_and_runs(house: House) -> None:
    source = '#include <stdio.h>\nint main(void) { puts("hello from C"); return 7; }\n'
    result = house.run_built(house.build("gcc", source, "-O2", "-Wall", "-Werror"))
    assert (result.ending, result.stdout.data) == (Exited(7), b"hello from C\n")


@needs("gcc")
def test_a_static_binary_and_threads_run(house: House) -> None:
    source = """
#include <pthread.h>
#include <stdio.h>
static void *work(void *x) { return (void *)((long)x * 2); }
int main(void) {
  pthread_t t; void *r;
  if (pthread_create(&t, 0, work, (void *)21L)) return 1;
  pthread_join(t, &r); printf("%ld\\n", (long)r); return 0;
}
"""
    for options in (("-pthread",), ("-pthread", "-static")):
        result = house.run_built(house.build("gcc", source, *options))
        assert (result.ending, result.stdout.data) == (Exited(0), b"42\n"), result


@needs("g++")
def test_a_cpp_program_compiles_and_runs(house: House) -> None:
    source = """
#include <algorithm>
#include <iostream>
#include <thread>
#include <vector>
int main() {
  std::vector<long> v; long x;
  while (std::cin >> x) v.push_back(x);
  std::thread t([&] { std::sort(v.begin(), v.end()); });
  t.join();
  try { throw v.size(); } catch (std::size_t n) { std::cout << n; }
  for (long y : v) std::cout << ' ' << y;
}
"""
    binary = house.build("g++", source, "-O2", "-std=c++17", "-pthread")
    result = house.run_built(binary, stdin=b"3 1 2")
    assert (result.ending, result.stdout.data) == (Exited(0), b"3 1 2 3"), result


@needs("g++")
def test_the_address_sanitizer_finds_overflows_and_leaks(house: House) -> None:
    source = """
#include <cstdlib>
#include <cstring>
int main(int argc, char **argv) {
  char *p = static_cast<char *>(std::malloc(10));
  std::memset(p, 0, argc > 1 ? 11 : 10);
  p = nullptr;
  return 0;
}
"""
    binary = house.build("g++", source, "-g", "-O0", "-fsanitize=address")
    leak = house.run_built(binary, limits=ROOMY)
    assert b"LeakSanitizer: detected memory leaks" in leak.stderr.data, leak
    assert leak.ending == Exited(1)
    overflow = house.run_built(binary, "overflow", limits=ROOMY)
    assert b"heap-buffer-overflow" in overflow.stderr.data, overflow
    assert overflow.ending == Exited(1)


@needs("g++")
def test_the_undefined_behaviour_sanitizer_speaks(house: House) -> None:
    source = "int main(int argc, char **) { int x = 0x7fffffff; x += argc; return x == 1; }"
    result = house.run_built(house.build("g++", source, "-fsanitize=undefined"), limits=ROOMY)
    assert b"signed integer overflow" in result.stderr.data, result


def test_python_multiprocessing_works(house: House) -> None:
    code = """
import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor

def square(x):
    return x * x

if __name__ == '__main__':
    for method in ('fork', 'spawn', 'forkserver'):
        with mp.get_context(method).Pool(2) as pool:
            print(method, sum(pool.map(square, range(10))))
    lock, value = mp.Lock(), mp.Value('i', 0)
    with ProcessPoolExecutor(2) as pool:
        print(sum(pool.map(square, range(4))))
"""
    files = (InputFile("main.py", code.encode()),)
    result = house.run("python3", "main.py", files=files, limits=ROOMY)
    assert result.ending == Exited(0), result
    assert result.stdout.data.split() == b"fork 285 spawn 285 forkserver 285 14".split()


def test_python_shared_memory_asyncio_and_subprocess_work(house: House) -> None:
    code = """
import asyncio, subprocess, sys, tempfile, ssl, sqlite3, ctypes, threading, getpass
from multiprocessing import shared_memory
memory = shared_memory.SharedMemory(create=True, size=4096)
memory.buf[0] = 7
print(memory.buf[0]); memory.close(); memory.unlink()
print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())
async def main():
    process = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1)
    out, _ = await process.communicate(b'async')
    print(out.decode())
asyncio.run(main())
with tempfile.NamedTemporaryFile() as file:
    print(sqlite3.connect(file.name + '.db').execute('select 6 * 7').fetchone()[0])
print(getpass.getuser())
"""
    assert house.evaluate(code, limits=ROOMY).split() == ["7", "child", "async", "42", "sandbox"]


@needs("java", "javac")
def test_a_java_program_compiles_and_runs(house: House) -> None:
    source = """
import java.util.stream.*;
public class Main {
  public static void main(String[] args) throws Exception {
    Thread t = new Thread(() -> System.out.println("thread"));
    t.start(); t.join();
    System.out.println(IntStream.range(0, 1000).parallel().sum());
    System.exit(3);
  }
}
"""
    compiled = house.run(
        *("javac", "-J-Xmx512m", "Main.java"),
        files=(InputFile("Main.java", source.encode()),),
        outputs=(OutputPath("*.class"),),
        limits=ROOMY,
    )
    assert compiled.ending == Exited(0), compiled
    files = tuple(InputFile(f.path, f.content or b"") for f in compiled.files)
    result = house.run("java", "-Xmx256m", "Main", files=files, limits=ROOMY)
    assert (result.ending, result.stdout.data) == (Exited(3), b"thread\n499500\n"), result


@needs("node")
def test_node_runs_with_a_worker(house: House) -> None:
    code = """
const { Worker, isMainThread, parentPort } = require('worker_threads');
if (isMainThread) {
  const worker = new Worker(__filename);
  worker.on('message', (m) => console.log(m));
  require('child_process').execFile('echo', ['child'], (e, out) => console.log(out.trim()));
  require('fs').promises.readFile('/etc/hostname', 'utf8').then((t) => console.log(t.trim()));
} else {
  parentPort.postMessage('worker');
}
"""
    files = (InputFile("main.js", code.encode()),)
    result = house.run("node", "main.js", files=files, limits=ROOMY)
    assert result.ending == Exited(0), result
    assert set(result.stdout.data.split()) == {b"worker", b"child", b"sandbox"}


@needs("node")
def test_a_server_and_its_client_meet_on_loopback(house: House) -> None:
    code = """
const http = require('http');
const server = http.createServer((q, r) => r.end('served')).listen(0, '127.0.0.1', () => {
  http.get({ port: server.address().port }, (r) => r.on('data', (d) => {
    console.log(d.toString()); process.exit(0); }));
});
"""
    fields = {"limits": ROOMY, "network": Network.LOOPBACK}
    assert house.output("node", "-e", code, **fields) == "served\n"


@pytest.mark.skipif(not os.path.exists(GO), reason=f"{GO} is not there")
def test_a_go_program_compiles_and_runs(house: House) -> None:
    source = """
package main
import "fmt"
func main() { c := make(chan int); go func() { c <- 42 }(); fmt.Println(<-c) }
"""
    result = house.run(
        *(GO, "run", "main.go"),
        files=(InputFile("main.go", source.encode()),),
        env={"GOCACHE": "/tmp/cache", "GOPATH": "/tmp/go", "GOFLAGS": "-p=1"},
        limits=ROOMY,
    )
    assert (result.ending, result.stdout.data) == (Exited(0), b"42\n"), result


@needs("bash")
def test_bash_has_job_control_pipes_and_here_documents(house: House) -> None:
    script = """
set -m
sleep 0.05 & first=$!
(exit 3) & wait $!; echo $?
kill -STOP $first; kill -CONT $first; wait $first; echo $?
cat <(echo substituted) <<< here
coproc cat; echo co >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "$line"
trap 'echo trapped' USR1; kill -USR1 $$
echo a b | tr ' ' '\\n' | sort -r | paste -sd,
"""
    result = house.run("bash", "-c", script, limits=ROOMY)
    assert result.ending == Exited(0), result
    expected = b"3\n0\nsubstituted\nco\ntrapped\nb,a\n"
    assert result.stdout.data == expected, result


@needs("perl")
def test_perl_runs(house: House) -> None:
    assert house.output("perl", "-MPOSIX", "-e", "print POSIX::floor(4.5)") == "4"


@needs("make", "gcc")
def test_make_builds_in_parallel(house: House) -> None:
    files = (
        InputFile("Makefile", b"all: a.o b.o\n\tgcc -o main a.o b.o\n"),
        InputFile("a.c", b"int f(void); int main(void) { return f(); }\n"),
        InputFile("b.c", b"int f(void) { return 5; }\n"),
    )
    result = house.shell("make -j2 >&2 && ./main", files=files, limits=ROOMY)
    assert result.ending == Exited(5), result


@needs("git")
def test_git_commits(house: House) -> None:
    script = """
git init -q . && git config user.email a@b && git config user.name n && echo x > f
git add f && git commit -q -m first && git log --format=%s
"""
    assert house.output("/bin/sh", "-c", script, limits=ROOMY) == "first\n"
