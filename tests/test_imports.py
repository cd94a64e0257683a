"""What loads what: the part of the walls that `.importlinter` cannot see, and that its contracts can break at all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PURE = [*(ROOT / "triage/radiograph").rglob("*.py"), *(ROOT / "triage/decision").rglob("*.py")]
SERVICE = [path for path in (ROOT / "triage").rglob("*.py") if path.name != "__main__.py"]
WRAPPING = [*(ROOT / "triage/model").glob("wrapping*.py"), *(ROOT / "triage/model_import").glob("*.py")]
CHECK = ROOT / "triage/model_import/check.py"
"""`triage models check` of installed models: the default install has all that it needs."""
ONNX_RUNTIME = ROOT / "triage/model/onnx_runtime.py"
SILENCED = 'os.environ["ORT_DISABLE_TELEMETRY"] = "1"'
LOADING = [ROOT / "triage/model/session.py", ROOT / "export/variants.py"]
"""One for each way in: the others take the first, which `.importlinter` holds."""
SAID_WHEN_LOADED = """
import importlib, os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY", "nothing"))
sys.meta_path.insert(0, Finder())
importlib.import_module("{name}")
"""


def loaded_by(paths: list[Path]) -> set[str]:
    """What is in ``sys.modules`` once all of ``paths`` are imported in a fresh interpreter."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    program = f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\nprint(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    return set(ran.stdout.split())


def test_nothing_that_is_loaded_with_the_pure_core_does_io() -> None:
    loaded = loaded_by(PURE)
    assert {"triage.radiograph.decode", "triage.decision.decide"} <= loaded
    assert not loaded & {"redis", "rq", "pynetdicom", "onnxruntime", "torch"}


def test_nothing_that_is_loaded_with_the_service_is_torch() -> None:
    loaded = loaded_by(SERVICE)
    assert {"triage.cli", "triage.scoring.worker", "triage.model.session"} <= loaded
    assert not {name.split(".")[0] for name in loaded} & {"torch", "torchvision", "training", "export"}


def test_the_package_and_the_listener_wait_for_none_of_the_heavy_libraries() -> None:
    loaded = loaded_by([ROOT / "triage/__init__.py", ROOT / "triage/service/listen.py"])
    assert {"triage", "triage.service.listen"} <= loaded
    assert not loaded & {"onnxruntime", "redis", "highdicom", "cryptography", "pg8000", "sqlalchemy"}


def test_onnx_is_needed_by_the_wrapping_of_networks_alone() -> None:
    assert "onnx" in loaded_by([ROOT / "triage/model/wrapping.py"])
    assert "onnx" not in loaded_by([CHECK, *(path for path in SERVICE if path not in WRAPPING)])


def test_opencv_is_loaded_after_its_threads_are_told_not_to_spin() -> None:
    assert "cv2" not in loaded_by([ROOT / "triage/cli.py"])
    program = "import atexit, os, sys; sys.argv = ['triage', '--version']; from triage.cli import main\n"
    program += "atexit.register(lambda: print(os.environ['OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER']))\nmain()"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout.splitlines()[-1] == "0"


def test_only_the_command_line_reads_the_environment() -> None:
    using = {path.name for path in SERVICE if "os.environ" in path.read_text() or "getenv" in path.read_text()}
    assert using == {"cli.py", "onnx_runtime.py"}
    assert ONNX_RUNTIME.read_text().count("environ") == ONNX_RUNTIME.read_text().count(SILENCED) == 1  # it writes


@pytest.mark.parametrize("path", LOADING, ids=lambda path: str(path.relative_to(ROOT)))
def test_onnx_runtime_is_silenced_before_it_is_loaded(path: Path) -> None:
    """Each module as the first one of its process, with nothing in the environment that silences the library."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    ran = subprocess.run(
        [sys.executable, "-c", SAID_WHEN_LOADED.format(name=name)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True, env=environment,
    )  # fmt: skip
    assert ran.stdout.split() == ["1"]


def test_benchmarks_and_tests_take_onnx_runtime_silenced() -> None:
    files = [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    assert not [str(path) for path in files if re.search(r"^\s*(import|from) onnxruntime", path.read_text(), re.M)]


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("triage/spool/usage.py", "from triage.web import app", "imports point down"),
        ("triage/decision/types.py", "if TYPE_CHECKING:\n    from triage.decision.decide import decide", "No circle"),
        ("triage/decision/decide.py", "import redis", "does no I/O"),
        ("triage/web/app.py", "from rq import Queue", "knows RQ"),
        ("triage/scoring/worker.py", "from triage.validation import validate", "knows no cohort"),
        ("training/config.py", "import export.release", "Training knows no export"),
        ("triage/model/session.py", "import onnx", "statistics alone"),
        ("triage/model/session.py", "import onnxruntime", "silences it"),
        ("export/parity.py", "from onnxruntime.quantization import QuantType", "silences it"),
        ("triage/scoring/worker.py", "from triage.model.onnx_runtime import onnxruntime", "use ONNX Runtime"),
        ("triage/commands/model.py", "from triage.model.wrapping import wrap", "wrap networks"),
        ("triage/delivery/outbox.py", "from triage.spool.spool import Spool", "one of files"),
        ("triage/delivery/outbox.py", "from triage.spool.cluster.rows import Rows", "Only its opening"),
        ("triage/worklist/index.py", "import pg8000", "in PostgreSQL alone"),
    ],
    ids=[
        "a floor up",
        "a circle of types",
        "I/O in the core",
        "rq in the web",
        "validation in a worker",
        "export",
        "onnx in a session",
        "ONNX Runtime in a session",
        "ONNX Runtime's tools in export",
        "ONNX Runtime in a worker",
        "wrapping in a command",
        "files in the outbox",
        "rows in the outbox",
        "the driver in the worklist",
    ],
)
def test_a_contract_breaks_where_a_wall_is_crossed(tmp_path: Path, file: str, line: str, broken: str) -> None:
    for package in ("triage", "training", "export"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / file
    head, future, rest = path.read_text().partition("from __future__ import annotations\n")
    path.write_text(f"{head}{future}from typing import TYPE_CHECKING\n{line}\n{rest}")
    linted = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache",
         str(ROOT / ".importlinter")],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, env={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert linted.returncode == 1, linted.stderr
    broken_contracts = [text for text in linted.stdout.splitlines() if "BROKEN" in text]
    assert any(broken in text for text in broken_contracts), linted.stdout


def test_only_what_contributing_names_renames_and_synchronises_files() -> None:
    calls = re.compile(r"\bos\.(replace|rename|fsync)\(|\.rename\(|\.syncfs\b")
    found = {
        path.relative_to(ROOT).parts[1:-1] for path in (ROOT / "triage").rglob("*.py") if calls.search(path.read_text())
    }
    assert {"/".join(each) for each in found} == {"runtime", "spool", "backup"}
