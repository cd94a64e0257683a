"""The bundle: the same bytes twice, all accounted for, signed, and installed where there is no network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

from release.bundle import _licences, build_bundle
from release.errors import ReleaseError
from release.systemd_units import units
from release.wheel_contents import read_wheel
from tests.release.conftest import ROOT
from tests.support.installed_wheels import bare_environment, needed
from tests.support.unpacking import unpack
from triage.model.card import CARD, load_card


@dataclass(frozen=True)
class Bundle:
    """A bundle, unpacked; how it was built; and the two halves of the key that signed it."""

    archive: Path
    folder: Path
    pins: Path
    wheelhouse: Path
    secret: Path
    public: Path


def small_wheel(
    folder: Path, name: str, *metadata: str, licence: str = "{name}-1.0.dist-info/licenses/LICENSE.txt"
) -> Path:
    """A third-party wheel: one module and a licence."""
    files = {
        f"{name}.py": "",
        f"{name}-1.0.dist-info/METADATA": "\n".join(
            ("Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *metadata)
        ),
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        licence.format(name=name): "Do what you like.",
    }
    lines = [
        f"{path},sha256={urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for path, text in files.items()
    ]
    record = f"{name}-1.0.dist-info/RECORD"
    files[record] = "\n".join([*lines, f"{record},,"])
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-1.0-py3-none-any.whl"
    with ZipFile(target, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return target


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of our own wheels and one small third-party one, as fetching the real ones needs a network."""
    if shutil.which("minisign") is None:
        pytest.skip("minisign: sudo apt-get install minisign")
    work = tmp_path_factory.mktemp("bundle")
    wheel = small_wheel(work / "wheelhouse", "third_party", "License-Expression: MIT")
    small_wheel(work / "wheelhouse", "left_from_before")
    pins = work / "pins.txt"
    pins.write_text(f"third-party==1.0 \\\n    --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n")
    secret, public = work / "key", work / "key.pub"
    subprocess.run(["minisign", "-G", "-W", "-f", "-s", secret, "-p", public], check=True, stdout=subprocess.DEVNULL)
    archive = build_bundle(ROOT, work / "out", pins, work / "wheelhouse", secret)
    unpack(archive, work / "unpacked", rule="data")
    (folder,) = (work / "unpacked").iterdir()
    return Bundle(archive, folder, pins, work / "wheelhouse", secret, public)


def install(folder: Path, *arguments: str | Path, offline: bool = False) -> subprocess.CompletedProcess[str]:
    prefix = ["unshare", "--net"] if offline else []
    return subprocess.run(
        [*prefix, folder / "install.sh", *arguments],
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_same_files_give_the_same_bundle(bundle: Bundle, tmp_path: Path) -> None:
    again = build_bundle(ROOT, tmp_path / "again", bundle.pins, bundle.wheelhouse, None)
    with tarfile.open(bundle.archive) as one, tarfile.open(again) as other:
        theirs = {entry.name: entry for entry in other}
        signed = {entry.name: entry for entry in one if not entry.name.endswith(".minisig")}
        assert [(e.mode, e.mtime, e.uid) for e in signed.values()] == [
            (e.mode, e.mtime, e.uid) for e in theirs.values()
        ]
        for name, entry in signed.items():
            if entry.isfile():
                assert one.extractfile(entry).read() == other.extractfile(theirs[name]).read(), name  # type: ignore[union-attr]


def test_the_bill_of_materials_has_every_wheel_and_every_model(bundle: Bundle) -> None:
    bill = json.loads((bundle.folder / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    digests = {each["hashes"][0]["content"]: each for each in bill["components"]}
    wheels = [read_wheel(path) for path in (bundle.folder / "wheels").iterdir()]
    assert {each.name for each in wheels} == {"third_party", "cxr-triage", "cxr-triage-models"}
    cards = [load_card(card.parent) for card in (ROOT / "models").glob(f"*/{CARD}")]
    assert digests.keys() == {each.digest for each in wheels} | {card.model_sha256 for card in cards}
    for card in cards:
        (said,) = digests[card.model_sha256]["licenses"]
        assert card.licence is None or said["license"]["name"] == card.licence.weights
    (theirs,) = (each for each in bill["components"] if each["name"] == "third_party")
    assert theirs["purl"] == "pkg:pypi/third-party@1.0"
    assert theirs["licenses"] == [{"expression": "MIT"}]
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(references) == len(set(references))


def test_licences_of_everything_are_there(bundle: Bundle) -> None:
    assert (bundle.folder / "licences/third_party/licenses/LICENSE.txt").read_text() == "Do what you like."
    assert (bundle.folder / "LICENSE.models").read_bytes() == (ROOT / "models/LICENSE").read_bytes()
    table = (bundle.folder / "licences/README.md").read_text()
    assert "| third_party | 1.0 | MIT | 1 |" in table


def test_a_package_without_the_text_of_its_licence_is_not_given_away(tmp_path: Path) -> None:
    def brought(licence: str) -> str:
        wheel = read_wheel(small_wheel(tmp_path, "third_party", licence=licence))
        _licences(tmp_path / "licences", [wheel])
        return (tmp_path / "licences/README.md").read_text()

    with pytest.raises(ReleaseError, match="contains no text of its licence"):
        brought("third_party/licence.py")
    assert "| third_party | 1.0 | not stated | 1 |" in brought("third_party/ThirdPartyNotices.txt")
    assert (tmp_path / "licences/third_party/third_party/ThirdPartyNotices.txt").exists()


def test_it_installs_with_the_network_off(bundle: Bundle, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a network of its own: run as root")
    target = tmp_path / "installed"
    done = install(bundle.folder, target, bundle.public, offline=True)
    # The last line asks for the version, which needs packages that this small bundle lacks.
    assert "No module named 'click'" in done.stderr, done.stdout + done.stderr
    (packages,) = target.glob("lib/python3*/site-packages")
    assert (packages / "third_party.py").exists()
    (packages / "needed.pth").write_text("\n".join(needed()) + "\n")
    said = subprocess.run(
        [target / "bin/triage", "model"], cwd=tmp_path, env=bare_environment(), capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    for card in (ROOT / "models").glob(f"*/{CARD}"):
        assert card.parent.name in said.stdout


def changed(bundle: Bundle, folder: Path) -> Path:
    return Path(shutil.copytree(bundle.folder, folder / "copy"))


def refused(folder: Path, target: Path, key: Path) -> str:
    done = install(folder, target, key)
    assert done.returncode != 0
    assert not target.exists()
    return done.stdout + done.stderr


def test_what_was_changed_added_or_signed_by_another_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    folder = changed(bundle, tmp_path)

    (folder / "wheels/extra-9.0-py3-none-any.whl").write_text("a package that pip would prefer")
    assert "does not list" in refused(folder, target, bundle.public)
    (folder / "wheels/extra-9.0-py3-none-any.whl").unlink()

    page = folder / "requirements.txt"
    before = page.read_text()
    page.write_text(before + "# changed\n")
    assert "requirements.txt: FAILED" in refused(folder, target, bundle.public)

    # With the digest made to fit, the signature does not.
    sums = folder / "SHA256SUMS"
    sums.write_text(
        sums.read_text().replace(sha256(before.encode()).hexdigest(), sha256(page.read_bytes()).hexdigest())
    )
    assert "was not signed with this key" in refused(folder, target, bundle.public)

    other = tmp_path / "other"
    subprocess.run(["minisign", "-G", "-W", "-s", other, "-p", f"{other}.pub"], check=True, stdout=subprocess.DEVNULL)
    assert "was not signed" in refused(changed(bundle, tmp_path / "again"), target, Path(f"{other}.pub"))


def test_another_python_than_that_of_the_wheels_is_said_before_anything_is_made(bundle: Bundle, tmp_path: Path) -> None:
    folder, target = changed(bundle, tmp_path), tmp_path / "installed"
    wheel = folder / "wheels/compiled-1.0-cp399-cp399-linux_x86_64.whl"
    wheel.write_bytes(b"")
    with (folder / "SHA256SUMS").open("a") as sums:
        sums.write(f"{sha256(b'').hexdigest()}  wheels/{wheel.name}\n")

    done = install(folder, target)

    assert done.returncode != 0
    assert "these wheels are for Python 3.99, and python3 is 3." in done.stderr
    assert not target.exists()


# As a service of systemd.


def make_service(bundle: Bundle, root: Path, home: str) -> subprocess.CompletedProcess[str]:
    """Run service.sh for another system below ``root``, which has ``home`` in it."""
    for folder in ("etc/logrotate.d", f"{home[1:]}/bin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    program = root / home[1:] / "bin/triage"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return subprocess.run(
        [bundle.folder / "service.sh", home],
        env=bare_environment(DESTDIR=str(root)),
        capture_output=True,
        text=True,
        timeout=60,
    )


def needs_systemd() -> None:
    if os.geteuid() != 0:
        pytest.skip("users are made: run as root")
    for program in ("systemd-sysusers", "systemd-tmpfiles", "systemd-analyze"):
        if shutil.which(program) is None:
            pytest.skip(f"{program}: sudo apt-get install systemd")


def test_it_becomes_a_service_and_keeps_the_settings_of_the_site(bundle: Bundle, tmp_path: Path) -> None:
    needs_systemd()
    done = make_service(bundle, tmp_path, "/opt/cxr-triage-1")
    assert done.returncode == 0, done.stderr

    (user,) = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines() if "cxr-triage" in line]
    (group,) = [line.split(":") for line in (tmp_path / "etc/group").read_text().splitlines() if "cxr-triage" in line]
    state, settings = tmp_path / "var/lib/cxr-triage", tmp_path / "etc/cxr-triage/triage.toml"
    assert (state.stat().st_uid, state.stat().st_mode & 0o777) == (int(user[2]), 0o700)
    assert (settings.stat().st_uid, settings.stat().st_gid) == (0, int(group[2]))
    assert settings.stat().st_mode & 0o777 == 0o640
    assert settings.read_text() == (ROOT / "release/debian/triage.toml").read_text()

    placed = {path.name: path.read_text() for path in (tmp_path / "etc/systemd/system").iterdir()}
    assert placed.keys() == units().keys()
    everything = "\n".join([*placed.values(), (tmp_path / "usr/local/bin/triage").read_text()])
    assert "/usr/lib/cxr-triage" not in everything
    assert "/opt/cxr-triage-1/bin/triage up\n" in placed["cxr-triage.service"]
    for page in re.findall(r"file://(\S+)", everything):
        assert (tmp_path / page[1:]).exists(), page
    assert (tmp_path / "usr/local/share/man/man1/triage.1").exists()

    settings.write_text("# the site's own\n")
    done = make_service(bundle, tmp_path, "/opt/cxr-triage-2")
    assert done.returncode == 0, done.stderr
    assert settings.read_text() == "# the site's own\n"
    assert settings.stat().st_mode & 0o777 == 0o640
    assert "/opt/cxr-triage-2/bin/triage" in (tmp_path / "etc/systemd/system/cxr-triage-work.service").read_text()


@pytest.mark.parametrize(
    ("home", "why"),
    [
        ("/home/someone/triage", "may not look into"),
        ("/tmp/triage", "may not look into"),
        ("opt/triage", "the whole path"),
        ("/opt/of the house", "letters, digits"),
    ],
)
def test_a_folder_in_which_the_service_could_not_run_is_refused(
    bundle: Bundle, tmp_path: Path, home: str, why: str
) -> None:
    done = make_service(bundle, tmp_path, home)
    assert done.returncode != 0
    assert why in done.stderr
    assert not (tmp_path / "etc/systemd").exists()
