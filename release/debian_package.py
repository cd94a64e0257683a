"""The Debian package: an environment with the pinned wheels, units, manual pages, and maintainer scripts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from email.utils import formatdate
from pathlib import Path

from release.clean_copy import source_date
from release.completion import bash_completion
from release.errors import ReleaseError
from release.man_pages import man_pages
from release.systemd_units import units
from release.wheelhouse import fill_wheelhouse
from release.wheels import build_wheels

PYTHON = Path("/usr/bin/python3")
HOME = Path("usr/lib/cxr-triage")
_HERE = Path(__file__).parent / "debian"
_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


SHELVES = ("how-to", "explanation", "reference")
"""Folders of docs/ whose pages are installed."""


def build_package(checkout: Path, out: Path, wheelhouse: Path, version: str = "") -> Path:
    """Build the package into ``out``, and return its path. Raises ReleaseError.

    Third-party wheels come from ``wheelhouse``; missing ones are fetched. ``version`` is that of the code by default.
    """
    if not PYTHON.exists() or not shutil.which("dpkg-buildpackage"):
        raise ReleaseError("a Debian package is built on Debian: apt-get install debhelper dpkg-dev python3-venv")
    out.mkdir(parents=True, exist_ok=True)
    when = source_date(checkout)
    version = version or tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["version"]
    with tempfile.TemporaryDirectory(prefix="deb") as folder:
        tree = Path(folder) / "cxr-triage"
        stage = tree / "stage"
        ours = Path(folder) / "wheels"
        build_wheels(checkout, ours)
        _environment(stage, checkout / "requirements/serve-cpu.txt", wheelhouse, ours)
        _files(stage, checkout, version, when)
        _control(tree / "debian", checkout, version, when)
        _run(["dpkg-buildpackage", "--build=binary", "--no-sign", "--no-check-builddeps"], tree)
        (package,) = Path(folder).glob("*.deb")
        shutil.copy(package, out)
    return out / package.name


def _environment(stage: Path, pins: Path, wheelhouse: Path, ours: Path) -> None:
    """Make the environment of /usr/lib with the system's own Python."""
    home = stage / HOME
    _run([str(PYTHON), "-m", "venv", "--without-pip", str(home)])
    pip = [*_PIP[:3], "--python", str(home / "bin/python"), *_PIP[3:]]
    fill_wheelhouse(pins, wheelhouse, pip)
    offline = ["install", "--quiet", "--no-index", "--no-compile", "--no-warn-script-location"]
    _run([*pip, *offline, "--require-hashes", "--find-links", str(wheelhouse), "-r", str(pins)])
    _run([*pip, *offline, "--no-deps", "--find-links", str(ours), "cxr-triage", "cxr-triage-models"])
    for script in (home / "bin").iterdir():
        if script.name.lower().startswith("activate"):
            script.unlink()
        elif not script.is_symlink():
            script.write_bytes(script.read_bytes().replace(str(stage).encode(), b""))
    configuration = home / "pyvenv.cfg"
    kept = [line for line in configuration.read_text().splitlines() if not line.startswith("command")]
    configuration.write_text("\n".join(kept) + "\n")
    # Never checked against the sources, which do not change here: the services could not write newly compiled files.
    compiler = ["-m", "compileall", "-q", "-s", str(stage), "-p", "/", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([str(home / "bin/python"), *compiler, str(home / "lib")], capture_output=True)


def _files(stage: Path, checkout: Path, version: str, when: int) -> None:
    from triage.cli import triage

    texts = {f"usr/share/man/man1/{name}": page for name, page in man_pages(triage, "triage", version, when).items()}
    texts |= {
        "usr/share/bash-completion/completions/triage": bash_completion(triage),
        "etc/cxr-triage/triage.toml": (_HERE / "triage.toml").read_text(),
        "etc/cxr-triage/redis.conf": (_HERE / "redis.conf").read_text(),
    }
    pages = checkout / "docs"
    for page in (*pages.glob("*.md"), *(found for shelf in SHELVES for found in (pages / shelf).glob("*.md"))):
        texts[f"usr/share/doc/cxr-triage/{page.relative_to(pages)}"] = page.read_text()
    for page in (Path(__file__).parent / "licences").glob("*.txt"):
        texts[f"usr/share/doc/cxr-triage/licences/{page.name}"] = page.read_text()
    for folder in ("prometheus", "alertmanager", "nginx", "apache", "haproxy", "rsyslog"):
        for example in sorted((checkout / "deploy" / folder).glob("*.*")):
            texts[f"usr/share/doc/cxr-triage/examples/{folder}/{example.name}"] = example.read_text()
    texts["usr/share/doc/cxr-triage/examples/grafana/cxr-triage.json"] = (
        checkout / "deploy/grafana/cxr-triage.json"
    ).read_text()
    for name, text in texts.items():
        (stage / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).write_text(text)
    (stage / "etc/cxr-triage/conf.d").mkdir()
    command = stage / "usr/bin/triage"
    command.parent.mkdir(parents=True)
    shutil.copy(_HERE / "triage.sh", command)
    command.chmod(0o755)


def _control(debian: Path, checkout: Path, version: str, when: int) -> None:
    """Write the folder debian/: the files kept in the repository, and the parts that depend on this build."""
    shutil.copytree(_HERE, debian)
    for name in ("triage.toml", "redis.conf", "triage.sh"):
        (debian / name).unlink()
    for name, text in units().items():
        (debian / f"cxr-triage.{name}").write_text(text)
    control = debian / "control"
    control.write_text(control.read_text().replace("@PYTHON@", _python_dependency()))
    (debian / "rules").chmod(0o755)
    entry = f"cxr-triage ({version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n"
    maintainer = re.findall(r"^Maintainer: (.*)$", control.read_text(), re.MULTILINE)[0]
    (debian / "changelog").write_text(f"{entry} -- {maintainer}  {formatdate(when)}\n")
    weights = "\n".join(f" {line}" if line.strip() else " ." for line in _weights(checkout))
    (debian / "copyright").write_text((debian / "copyright.head").read_text() + weights + "\n")
    (debian / "copyright.head").unlink()
    (debian / "source").mkdir()
    (debian / "source/format").write_text("3.0 (native)\n")


def _weights(checkout: Path) -> list[str]:
    return (checkout / "models/LICENSE").read_text().splitlines()


def _python_dependency() -> str:
    """Return the dependency on Python: the environment works with the minor version that it was made with."""
    asked = subprocess.run([PYTHON, "-c", "import sys; print(sys.version_info[1])"], capture_output=True, text=True)
    minor = int(asked.stdout)
    return f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1})"


def _run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, umask=0o022)
    if done.returncode:
        raise ReleaseError(f"{command[0]} failed: {(done.stdout + done.stderr)[-3000:]}")
