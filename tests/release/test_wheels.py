"""The wheels hold all that is needed, and work in an empty folder of a machine without the checkout."""

from __future__ import annotations

import subprocess
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.metadata import Metadata

from release.clean_copy import tracked
from release.wheels import build_wheels
from tests.release.conftest import ROOT
from tests.support.installed_wheels import bare_environment, install
from tests.support.ports import free_ports
from triage.errors import EXIT_CANNOT_START

CODE = ("triage", "training", "export")


def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def metadata(wheel: Path) -> bytes:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return archive.read(name)


def test_the_wheel_of_the_code_holds_every_file_of_the_code_and_nothing_else(wheels: list[Path]) -> None:
    assert names(wheels[0]) == {str(path) for path in tracked(ROOT) if path.parts[0] in CODE}


def test_the_wheel_of_the_models_holds_every_model_and_its_licence(wheels: list[Path]) -> None:
    files = {f"cxr_triage_models/{path}" for path in tracked(ROOT / "models") if len(path.parts) == 2}
    assert names(wheels[1]) == files | {"cxr_triage_models/LICENSE"}
    assert any(name.endswith("/model.onnx") for name in files)


@pytest.mark.parametrize("which", [0, 1])
def test_the_metadata_hold_and_carry_a_licence(wheels: list[Path], which: int) -> None:
    found = Metadata.from_email(metadata(wheels[which]), validate=True)
    assert found.license_expression
    assert found.license_files == ["LICENSE"]
    assert message_from_bytes(metadata(wheels[which])).get_payload()


def test_the_same_files_give_the_same_bytes(wheels: list[Path], tmp_path: Path) -> None:
    again = build_wheels(ROOT, tmp_path)
    assert [wheel.name for wheel in again] == [wheel.name for wheel in wheels]
    assert [wheel.read_bytes() for wheel in again] == [wheel.read_bytes() for wheel in wheels]


# Installed.


def demo_environment(folder: Path) -> dict[str, str]:
    """Settings with free ports; everything else is the default."""
    first = free_ports(5)
    ports = ("LISTENER_PORT", "WEB_PORT", "LISTENER_METRICS_PORT", "WORKER_METRICS_PORT", "SWEEP_METRICS_PORT")
    return bare_environment(
        HOME=str(folder), **{f"TRIAGE_{name}": str(first + number) for number, name in enumerate(ports)}
    )


def test_both_wheels_run_the_demonstration_in_an_empty_folder(wheels: list[Path], tmp_path: Path) -> None:
    scripts = install(wheels, tmp_path / "venv")
    empty = tmp_path / "w"
    empty.mkdir()

    done = subprocess.run(
        [scripts / "triage", "demo", "--exit"],
        cwd=empty,
        env=demo_environment(empty),
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 objects of 6 studies sent" in done.stdout
    assert f"models from {tmp_path}/venv/lib" in done.stderr
    assert " ABNORMAL " in done.stdout or " NORMAL " in done.stdout, "no model scored anything"
    assert str(ROOT) not in done.stdout + done.stderr


def test_without_models_it_says_where_it_looked(wheels: list[Path], tmp_path: Path) -> None:
    scripts = install(wheels[:1], tmp_path / "venv", without=("torch", "onnxruntime", "scipy"))

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [scripts / arguments[0], *arguments[1:]],
            cwd=tmp_path,
            env=bare_environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr

    status, said = run("triage", "model")
    assert status == EXIT_CANNOT_START
    assert str(tmp_path / "models") in said
    assert "cxr-triage-models, which is not installed" in said

    # The same environment lacks the packages of the extras: one line each says what to install.
    for arguments, extra in (
        (("python", "-m", "training", "train", "--help"), "cxr-triage[cpu,train]"),
        (("python", "-m", "export", "--help"), "cxr-triage[cpu,train]"),
        (("triage", "agreement", "--data", str(tmp_path)), "cxr-triage[validate]"),
    ):
        status, said = run(*arguments)
        assert status != 0
        assert f"pip install '{extra}'" in said
        assert len(said.splitlines()) == 1, said

    status, said = run("triage", "--version")
    assert status == 0
    assert said.startswith("cxr-triage ")
