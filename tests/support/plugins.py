"""Distributions with plug-ins, installed into a folder as pip installs a wheel, without pip."""

from __future__ import annotations

import base64
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
GROUPS = {"loader": "cxr_triage.model_loaders", "channel": "cxr_triage.channels", "rule": "cxr_triage.rules"}


def install(
    site: Path,
    files: Mapping[str, str],
    entries: Mapping[str, Mapping[str, str]],
    *,
    name: str = "odd-plugin",
    version: str = "1.0",
) -> None:
    """Install ``files`` (path: text) with entry points (loader, channel or rule: name: object) below ``site``."""
    points = "".join(
        f"[{GROUPS.get(group, group)}]\n" + "".join(f"{key} = {value}\n" for key, value in named.items())
        for group, named in entries.items()
    )
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    whole = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/entry_points.txt": points,
    }
    for path, text in whole.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    (site / info / "INSTALLER").write_text("by hand\n")
    lines = [f"{path},{_hash(text)},{len(text)}" for path, text in whole.items()]
    (site / info / "RECORD").write_text("\n".join([*lines, f"{info}/INSTALLER,,", f"{info}/RECORD,,"]) + "\n")


def install_example(site: Path, version: str = "1.0") -> None:
    """Install examples/plugin, as its pyproject.toml says."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    files = {str(path.relative_to(EXAMPLE)): path.read_text() for path in EXAMPLE.glob("*/*.py")}
    install(site, files, project["entry-points"], name=project["name"], version=version)


@contextmanager
def importable(site: Path) -> Iterator[None]:
    """Let distributions below ``site`` be found in this process, and forget their modules afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(site))
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(site)):
                del sys.modules[name]


def _hash(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()
