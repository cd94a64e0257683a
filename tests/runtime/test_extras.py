"""The message if a package of an extra is not installed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from triage.runtime.extras import _EXTRA_OF, what_to_install

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("onnxruntime", "pip install 'cxr-triage[cpu]' (or gpu instead of cpu, never both)"),
        ("scipy.stats", "needs scipy, which is not installed: pip install 'cxr-triage[validate]'"),
        ("torch.nn", "needs torch, which is not installed: pip install 'cxr-triage[train]'"),
    ],
)
def test_the_package_and_its_extra_are_named(missing: str, said: str) -> None:
    assert said in (what_to_install(ModuleNotFoundError(name=missing), "triage") or "")


def test_what_is_of_no_extra_is_no_matter_of_installing() -> None:
    assert what_to_install(ModuleNotFoundError(name="triage.nowhere"), "triage") is None
    assert what_to_install(ModuleNotFoundError(), "triage") is None


def test_every_extra_that_is_named_exists() -> None:
    assert set(_EXTRA_OF.values()) <= PROJECT["optional-dependencies"].keys()
