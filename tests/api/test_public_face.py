"""What ``import triage`` offers."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import triage
from tests.api.conftest import ROOT

LIBRARIES = {"cv2", "highdicom", "multiprocessing", "numpy", "onnxruntime", "pydantic", "pydicom", "redis", "rq"}


def test_import_loads_no_library_and_a_name_only_what_it_needs() -> None:
    program = (
        "import sys, triage\nprint(*sys.modules)\ntriage.Tag, triage.Reason, triage.TriageError\nprint(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    for loaded in ran.stdout.splitlines():
        assert "triage" in loaded.split()
        assert not set(loaded.split()) & LIBRARIES


def test_every_name_is_there_and_described() -> None:
    assert set(triage.__all__) <= set(dir(triage))
    page = (ROOT / "docs/reference/python-api.md").read_text()
    for name in triage.__all__:
        found = getattr(triage, name)
        assert name == "__version__" or found is getattr(import_module(found.__module__), name)
        assert getattr(found, "__doc__", "")
        assert f"`{name}`" in page or f"`{name}(" in page, name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'triage' has no attribute 'load_model'"):
        _ = triage.load_model
    assert not hasattr(triage, "anything")


def test_type_checkers_find_the_types() -> None:
    assert (ROOT / "triage/py.typed").is_file()
