"""The private parts of ``concurrent.futures`` that are used, on this Python: a release that changes them fails here."""

from __future__ import annotations

import ast
import fcntl
import os
import time
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from multiprocessing.context import ForkServerContext
from pathlib import Path

import psutil
import pytest

import triage
from triage.runtime.process_pool import end_with_parent, forkserver, kill_children, start_pool

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
