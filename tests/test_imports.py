"""Which part of the code may import what: the walls of the house (docs/adr, CONTRIBUTING)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IO = {"redis", "rq", "pynetdicom", "onnxruntime", "torch", "starlette", "uvicorn", "socket", "subprocess", "requests"}
RESEARCH = {"torch", "torchvision", "timm", "sklearn", "scipy", "onnx", "training", "export", "tests"}


def modules(*places: str) -> list[Path]:
    files = [ROOT / place for place in places]
    return sorted(path for file in files for path in (file.rglob("*.py") if file.is_dir() else [file]))


def imported(path: Path) -> Iterator[str]:
    """Dotted names of all that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def loaded_by(paths: list[Path]) -> set[str]:
    """What is in ``sys.modules`` once all of ``paths`` are imported in a fresh interpreter."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    program = f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\nprint(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    return set(ran.stdout.split())


PURE = modules("triage/radiograph", "triage/decision/decide.py", "triage/decision/reasons.py")
SERVICE = modules("triage")
VALIDATION = modules("triage/validation")  # has an extra of its own, with SciPy and scikit-learn


@pytest.mark.parametrize(
    ("paths", "forbidden"),
    [
        (PURE, IO | RESEARCH),
        ([path for path in SERVICE if path not in VALIDATION], RESEARCH | {"statsmodels"}),
        (VALIDATION, RESEARCH - {"scipy", "sklearn"}),
        (modules("training", "export"), {"redis", "rq", "pynetdicom"}),
    ],
    ids=["the pure core", "the service", "validation", "training and export"],
)
def test_a_file_imports_nothing_from_beyond_its_wall(paths: list[Path], forbidden: set[str]) -> None:
    assert paths
    wrong = {(path.name, name) for path in paths for name in imported(path) if name.split(".")[0] in forbidden}
    assert wrong == set()


def test_the_pure_core_imports_only_itself() -> None:
    ours = {name for path in PURE for name in imported(path) if name.startswith("triage")}
    assert all(name.startswith(("triage.radiograph", "triage.decision.reasons")) for name in ours), ours


def test_only_the_command_line_reads_the_environment() -> None:
    reading = {path.name for path in SERVICE if "os.environ" in path.read_text() or "getenv" in path.read_text()}
    assert reading <= {"cli.py"}


def test_nothing_that_is_loaded_with_the_pure_core_does_io() -> None:
    loaded = loaded_by(PURE)
    assert "triage.radiograph.decode" in loaded
    assert not loaded & {"redis", "rq", "pynetdicom", "onnxruntime", "torch"}


def test_nothing_that_is_loaded_with_the_service_is_torch() -> None:
    loaded = loaded_by([path for path in SERVICE if path.name != "__main__.py"])
    assert {"triage.cli", "triage.scoring.worker", "triage.model.session"} <= loaded
    assert not {name.split(".")[0] for name in loaded} & {"torch", "torchvision", "training", "export"}
