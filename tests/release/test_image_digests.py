"""Digests of others' images: asked of a registry, never typed."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from release.errors import ReleaseError
from release.image_digests import python_image, write_digests
from tests.release.conftest import ROOT

COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())


def stand_in(folder: Path, name: str, body: str) -> None:
    """A program of that name, which answers for the registry."""
    script = folder / name
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)


@pytest.mark.parametrize("program", ["skopeo", "docker"])
def test_each_image_is_named_by_the_digest_of_its_manifest(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last argument is the image: its manifest is one that holds its name.
    stand_in(
        tmp_path, program, 'for last; do :; done; last=${last#docker://docker.io/}; printf \'{"of":"%s"}\' "$last"'
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    target = tmp_path / "compose.digests.yaml"

    write_digests(ROOT, target)

    services = yaml.safe_load(target.read_text())["services"]
    assert services.keys() == COMPOSE["services"].keys()
    for name, service in COMPOSE["services"].items():
        image = service["image"]
        if image.startswith("cxr-triage:"):
            base = python_image((ROOT / "Dockerfile").read_text())
            asked = f"library/{base}" if program == "skopeo" else base
            assert services[name]["build"]["args"]["PYTHON_IMAGE"] == f"{base}@{digest(asked)}"
        else:
            assert services[name] == {"image": f"{image}@{digest(image)}"}


def digest(image: str) -> str:
    return "sha256:" + sha256(f'{{"of":"{image}"}}'.encode()).hexdigest()


@pytest.mark.parametrize("body", ["echo 'no such host' >&2; exit 1", "echo '<html>a portal</html>'", "true"])
def test_a_registry_that_does_not_answer_leaves_no_file(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "skopeo", body)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ReleaseError, match="skopeo inspect"):
        write_digests(ROOT, tmp_path / "out.yaml")
    assert not (tmp_path / "out.yaml").exists()


def test_without_a_program_that_can_ask_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReleaseError, match="skopeo, or with docker"):
        write_digests(ROOT, tmp_path / "out.yaml")
