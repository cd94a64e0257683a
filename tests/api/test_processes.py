"""Scripts, notebooks and processes in which somebody scores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.api.conftest import ROOT

UNGUARDED = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY", "nothing"))
sys.meta_path.insert(0, Finder())
import triage
with open("begun", "a") as file:
    file.write("once")
with triage.load_models("models/rsna-adult", threads=1, isolated=True) as scorer:
    print(scorer.score("chest.dcm").tag)
print(triage.load_models("models/rsna-adult", threads=1).score("chest.dcm").tag)
"""
PROCESSES = """
import multiprocessing, os, sys, triage

def forked(scorer):
    try:
        scorer.score("chest.dcm")
    except triage.OtherProcessError:
        os._exit(7)
    os._exit(0)

if __name__ == "__main__":
    scorer = triage.load_models("models/rsna-adult", threads=1)
    own = scorer.score("chest.dcm")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(scorer.score, ("chest.dcm",)) == own)
    child = os.fork()
    if child == 0:
        forked(scorer)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(scorer.score("chest.dcm") == own)
"""


def run(program: str, folder: Path) -> list[str]:
    """The lines that a program prints, as a script with nothing of ours in its environment."""
    path = folder / "script.py"
    path.write_text(program)
    ran = subprocess.run(
        [sys.executable, str(path)],
        cwd=folder, capture_output=True, text=True, timeout=120, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def test_a_script_without_a_guard_runs_once_and_onnx_runtime_is_told_to_send_nothing(workspace: Path) -> None:
    begun = workspace / "begun"
    begun.unlink(missing_ok=True)
    assert run(UNGUARDED, workspace) == ["1", "NORMAL", "NORMAL"]
    assert begun.read_text() == "once"


def test_a_scorer_goes_to_a_spawned_process_and_is_refused_in_a_forked_one(workspace: Path) -> None:
    assert run(PROCESSES, workspace) == ["True", "7", "True"]
