"""The bundle for machines without a network: wheels, models, pages, licences, bill of materials, digests, signature."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path

from release.clean_copy import clean_copy, commit, source_date
from release.errors import ReleaseError
from release.sbom import sbom
from release.service_files import service_files
from release.wheel_contents import WheelContents, read_wheel
from release.wheelhouse import fill_wheelhouse
from release.wheels import build_wheels

SUMS = "SHA256SUMS"


def build_bundle(checkout: Path, out: Path, pins: Path, wheelhouse: Path, key: Path | None) -> Path:
    """Build the bundle into ``out`` as a tar file, and return its path. Raises ReleaseError.

    Args:
        checkout: the git checkout; the same files give the same bytes, but for the signature.
        out: folder of the tar file.
        pins: requirements file of the packages to include.
        wheelhouse: folder of third-party wheels.
        key: minisign's secret key; None for no signature.
    """
    out.mkdir(parents=True, exist_ok=True)
    when = source_date(checkout)
    fill_wheelhouse(pins, wheelhouse, [sys.executable, "-m", "pip", "--disable-pip-version-check"])
    with tempfile.TemporaryDirectory() as work:
        tree = Path(work) / "source"
        clean_copy(checkout, tree)
        wheels = build_wheels(checkout, Path(work) / "wheels")
        version = read_wheel(wheels[0]).version
        folder = Path(work) / f"cxr-triage-{version}-offline"
        _fill(folder, tree, pins, wheels, wheelhouse)
        contents = [read_wheel(each) for each in sorted((folder / "wheels").iterdir())]
        _licences(folder / "licences", contents)
        _write(folder / "service", service_files(version, when))
        (folder / "sbom.cdx.json").write_text(sbom(version, commit(checkout), when, contents, tree / "models"))
        (folder / SUMS).write_text(_sums(folder))
        if key:
            _sign(folder / SUMS, key)
        return _packed(folder, out / f"{folder.name}.tar", when)


def _fill(folder: Path, tree: Path, pins: Path, ours: list[Path], wheelhouse: Path) -> None:
    (folder / "wheels").mkdir(parents=True)
    wanted = {line.split("sha256:")[1].split()[0] for line in pins.read_text().splitlines() if "sha256:" in line}
    theirs = [each for each in sorted(wheelhouse.glob("*.whl")) if sha256(each.read_bytes()).hexdigest() in wanted]
    for wheel in (*theirs, *ours):
        shutil.copyfile(wheel, folder / "wheels" / wheel.name)
    shutil.copytree(tree / "docs", folder / "docs")
    shutil.copytree(tree / "deploy", folder / "deploy")
    for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"):
        shutil.copyfile(tree / name, folder / name)
    shutil.copyfile(pins, folder / "requirements.txt")
    shutil.copyfile(tree / "models/LICENSE", folder / "LICENSE.models")
    for script in ("install.sh", "service.sh"):
        shutil.copyfile(tree / "release" / script, folder / script)
        (folder / script).chmod(0o755)


def _write(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _licences(folder: Path, contents: list[WheelContents]) -> None:
    """Write the licence texts of every package, and a table of them. Raises ReleaseError for a package without any."""
    rows = ["| package | version | licence, as its authors state | texts |", "|---|---|---|---|"]
    for wheel in contents:
        texts = wheel.texts or _collected_text(wheel)
        for name, text in texts.items():
            path = folder / wheel.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
        rows.append(f"| {wheel.name} | {wheel.version} | {wheel.licence or 'not stated'} | {len(texts)} |")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text("\n".join(rows) + "\n")


def _collected_text(wheel: WheelContents) -> dict[str, bytes]:
    """Return the licence text that we keep for a wheel without one. Raises ReleaseError where we keep none."""
    page = Path(__file__).parent / f"licences/{wheel.name}.txt"
    if not page.exists():
        raise ReleaseError(f"{wheel.file} contains no text of its licence: find it, and write {page}")
    return {page.name: page.read_bytes()}


def _sums(folder: Path) -> str:
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return "".join(f"{sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in files)


def _sign(sums: Path, key: Path) -> None:
    """Sign the digests; minisign asks for the key's password where it has one."""
    if shutil.which("minisign") is None:
        raise ReleaseError("minisign is not installed: apt-get install minisign, or build without a key")
    if subprocess.run(["minisign", "-S", "-s", str(key), "-m", str(sums)], stdout=subprocess.DEVNULL).returncode:
        raise ReleaseError(f"minisign did not sign with {key}")


def _packed(folder: Path, target: Path, when: int) -> Path:
    """Write a tar file of ``folder`` that does not depend on this machine: sorted, with one time and one owner."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = when, 0, 0, "root", "root"
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted([folder, *folder.rglob("*")]):
            archive.add(path, path.relative_to(folder.parent).as_posix(), recursive=False, filter=plain)
    return target
