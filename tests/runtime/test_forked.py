"""Forked children, of a process of their own: pytest's has threads."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PREAMBLE = """
import fcntl, logging, os, signal, subprocess, sys, time
from pathlib import Path
from triage.runtime.forked import fork, load
"""


def ran(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    ("run", "status"),
    [
        ("lambda words: None", "0"),
        ("lambda words: sys.exit(78)", "78"),
        ("lambda words: 1 / 0", "1"),
        ("lambda words: os.kill(os.getpid(), signal.SIGKILL)", "-9"),
    ],
)
def test_the_end_of_a_child_is_its_exit_status(run: str, status: str) -> None:
    assert ran(f"print(fork({run}, ['sweep']).wait(30))") == f"{status}\n"


def test_a_child_that_does_not_end_is_waited_for_no_longer_than_asked_and_can_be_ended() -> None:
    program = """
child = fork(lambda words: signal.pause(), ["sweep"])
try:
    child.wait(0.1)
except subprocess.TimeoutExpired:
    print(child.poll())
child.kill()
print(child.wait(30), child.poll())
"""
    assert ran(program) == "None\n-9 -9\n"


def test_a_signal_meets_the_child_and_not_a_copy_of_its_parents_handlers() -> None:
    """SIGTERM that comes between the fork and the child's first step must end it all the same."""
    program = """
signal.signal(signal.SIGTERM, lambda *_: print("of the parent"))
child = fork(lambda words: signal.pause(), ["sweep"])
child.terminate()
print(child.wait(30))
"""
    assert ran(program) == "-15\n"


def test_it_is_named_in_ps_by_its_words() -> None:
    program = """
def tell(words):
    print(Path("/proc/self/cmdline").read_bytes().rstrip(b"\\0"), Path("/proc/self/comm").read_text(), end="")
fork(tell, ["listen", "--index", "12"]).wait(30)
"""
    assert ran(program) == f"{b'triage' + bytes(1) + b'listen' + bytes(1) + b'--index' + bytes(1) + b'12'}" + (
        " triage-listen\n"
    )


def test_a_lock_that_it_must_not_keep_is_free_when_the_parent_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    program = f"""
descriptor = os.open({str(lock)!r}, os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
def hold_on(words):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    time.sleep(60)
fork(hold_on, ["listen"], close=[descriptor]).wait()
"""
    with subprocess.Popen([sys.executable, "-c", PREAMBLE + program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(child, signal.SIGKILL)


def test_it_logs_by_its_own_set_up_and_its_children_do_not_import_the_program() -> None:
    program = """
from triage.runtime.logs import set_up_logs
from triage.runtime.process_pool import start_pool
set_up_logs("INFO", "json", "up")
def child(words):
    sys.stderr = sys.stdout
    set_up_logs("INFO", "json", "sweep")
    logging.getLogger("x").info("hello")
    print("main" in sys.modules["__main__"].__dict__, flush=True)
main = 1
fork(child, ["sweep"]).wait(30)
"""
    first, second = ran(program).splitlines()
    assert '"process": "sweep"' in first
    assert second == "False"


def test_code_is_loaded_for_all_children_and_onnx_runtime_for_none() -> None:
    program = """
from triage.service.supervisor import _CODE
for modules in _CODE.values():
    load(modules)
print([name for name in ("onnxruntime", "triage.web.server", "triage.listener.server") if name in sys.modules])
print(len(os.listdir("/proc/self/task")) if not os.fork() else os.wait()[1])
"""
    out = ran(program).splitlines()
    assert out[0] == "['triage.web.server', 'triage.listener.server']"
    assert sorted(out[1:]) == ["0", "1"]
