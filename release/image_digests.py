"""Digests of third-party images, asked of their registries: a second file for compose that names images by digest.

It is run on a machine that reaches the registries, and the file is kept; digests are never typed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import yaml

from release.errors import ReleaseError

OURS = "cxr-triage"
_ARGUMENT = re.compile(r"^ARG PYTHON_IMAGE=(\S+)$", re.MULTILINE)
_TIMEOUT_S = 120

Compose: TypeAlias = Mapping[str, Mapping[str, Mapping[str, object]]]
"""A file of compose: its services by name."""


def write_digests(checkout: Path, target: Path) -> list[str]:
    """Write ``target`` for compose, and return each image with its digest. Raises ReleaseError without a response."""
    compose = yaml.safe_load((checkout / "deploy/compose.yaml").read_text())
    base = python_image((checkout / "Dockerfile").read_text())
    ask = _digest_reader()
    pinned = {image: f"{image}@{ask(image)}" for image in sorted({base, *_others(compose).values()})}
    text = yaml.safe_dump({"services": _services(compose, pinned, base)}, sort_keys=True)
    target.write_text(f"# Made by `make image-digests`. docker compose -f deploy/compose.yaml -f {target} up\n{text}")
    return sorted(pinned.values())


def python_image(dockerfile: str) -> str:
    """Return the image that ours are built on by default."""
    return str(_ARGUMENT.findall(dockerfile)[0])


def _others(compose: Compose) -> dict[str, str]:
    images = {name: str(service["image"]) for name, service in compose["services"].items()}
    return {name: image for name, image in images.items() if image.split(":")[0] != OURS}


def _services(compose: Compose, pinned: dict[str, str], base: str) -> dict[str, object]:
    theirs: dict[str, object] = {name: {"image": pinned[image]} for name, image in _others(compose).items()}
    ours = compose["services"].keys() - theirs.keys()
    return theirs | {name: {"build": {"args": {"PYTHON_IMAGE": pinned[base]}}} for name in ours}


def _digest_reader() -> Callable[[str], str]:
    if shutil.which("skopeo"):
        return lambda image: _digest(["skopeo", "inspect", "--raw", f"docker://docker.io/{_full(image)}"])
    if shutil.which("docker"):
        return lambda image: _digest(["docker", "buildx", "imagetools", "inspect", "--raw", image])
    raise ReleaseError("the registries are asked with skopeo, or with docker and its buildx: install one of them")


def _full(image: str) -> str:
    """Return the image's full name: Docker's own images are below library/."""
    return image if "/" in image else f"library/{image}"


def _digest(command: list[str]) -> str:
    """Return the digest of the manifest, or of the list of all platforms (OCI image spec, descriptor)."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ReleaseError(f"{' '.join(command)} did not respond in {_TIMEOUT_S} s") from error
    if done.returncode or not done.stdout.lstrip().startswith(b"{"):
        raise ReleaseError(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace')[-1000:].strip()}")
    return f"sha256:{sha256(done.stdout).hexdigest()}"
