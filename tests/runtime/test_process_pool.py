"""The private parts of ``concurrent.futures`` and ``multiprocessing`` that are used: a release may change them."""

from __future__ import annotations

import ast
import fcntl
import os
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from multiprocessing.context import ForkServerContext
from pathlib import Path

import psutil
import pytest

import triage
from tests.support.wait import wait_for
from triage.runtime.process_pool import end_with_parent, forkserver, kill_children, start_pool

PREAMBLE = """
import fcntl, os, signal, sys, threading, time
import psutil
from triage.runtime.process_pool import begin_server, end_with_parent, start_pool
def server_of(child):
    return psutil.Process(child).parent()
def call(function, *arguments):
    return start_pool(1, end_with_parent).submit(function, *arguments).result(60)
"""
OWNERS = {"runtime/process_pool.py", "runtime/forked.py"}
"""The second forks the processes of a service, with the interface of multiprocessing alone."""


def hang(seconds: float) -> None:
    time.sleep(seconds)


def test_a_pool_knows_its_children_by_process_id_and_they_can_be_killed() -> None:
    pool = start_pool(1, end_with_parent)
    child = pool.submit(os.getpid).result(60)
    hung = pool.submit(hang, 600)
    assert list(pool._processes) == [child]
    process = psutil.Process(child)
    kill_children(pool, wait=True)
    with pytest.raises((BrokenProcessPool, CancelledError)):
        hung.result(60)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert pool._processes is None  # what is looped over after that


def test_a_child_does_not_wait_until_its_result_is_read() -> None:
    pool = start_pool(1, end_with_parent)
    assert fcntl.fcntl(pool._result_queue._reader.fileno(), fcntl.F_GETPIPE_SZ) >= 200_000  # type: ignore[attr-defined]


def test_a_pool_that_has_started_no_child_can_be_killed() -> None:
    kill_children(ProcessPoolExecutor(1, forkserver()))


def test_children_come_from_a_server_that_has_no_threads() -> None:
    assert isinstance(forkserver(), ForkServerContext)


def test_no_other_file_makes_pools_or_contexts_of_its_own() -> None:
    root = Path(triage.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            private = isinstance(node, ast.Attribute) and node.attr == "_processes"
            if private or called.rpartition(".")[2] in ("ProcessPoolExecutor", "get_context", "parent_process"):
                found.add(path.relative_to(root).as_posix())
    assert found == OWNERS


def ran(program: str) -> list[str]:
    """Run a program in a process of its own, as pytest's has threads; returns its lines."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + program], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.splitlines()


def test_the_server_is_forked_with_the_code_that_its_parent_has() -> None:
    program = """
begin_server()
server = server_of(call(os.getpid))
print(server.ppid() == os.getpid(), server.cmdline()[:2], server.num_threads())
print(call(eval, "'triage.scoring.batch' in __import__('sys').modules"))
"""
    assert ran(program) == ["True ['triage', 'decode'] 1", "True"]


def test_a_process_with_threads_is_not_forked() -> None:
    program = """
threading.Thread(target=threading.Event().wait, daemon=True).start()
begin_server()
print("forkserver" in " ".join(server_of(call(os.getpid)).cmdline()))
"""
    assert ran(program) == ["True"]


def test_a_server_that_dies_is_followed_by_one_that_is_started_anew() -> None:
    program = """
begin_server()
server = server_of(call(os.getpid))
server.kill()
while server.status() != psutil.STATUS_ZOMBIE:
    time.sleep(0.01)
print("forkserver" in " ".join(server_of(call(os.getpid)).cmdline()))
"""
    assert ran(program) == ["True"]


def test_the_server_ends_with_its_parent_and_keeps_no_lock_of_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    program = f"""
descriptor = os.open({str(lock)!r}, os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
begin_server()
server = server_of(call(os.getpid))
os.close(descriptor)
with open({str(lock)!r}) as file:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", PREAMBLE + program], capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    wait_for(lambda: not psutil.pid_exists(int(done.stdout)), "the server to end")
