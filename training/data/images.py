"""Images as the service prepares them: decoded, normalised, resized, and cached in a memory-mapped file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import torch
from tqdm import tqdm

from training.data.cases import SHOWN, TrainingCase
from training.errors import TrainingError
from training.files import check_room, part_of, publish, remove_abandoned
from triage.errors import cause
from triage.radiograph.decode import decode_file
from triage.radiograph.preprocess import PreprocessSpec, normalise
from triage.radiograph.types import Radiograph, Rejected

Bytes = npt.NDArray[np.uint8]

_DECODED_BYTES = 200 << 20  # one large radiograph, as float32 with its copies


def load(cases: Sequence[TrainingCase], spec: PreprocessSpec, cache: Path) -> Bytes:
    """Return all images as uint8 (n, size, size), read-only and mapped from a file below ``cache``.

    The file's name is a digest of ``spec`` and of each image's path, size and time of change: a changed image is
    decoded anew. A file is either complete or absent. Raises TrainingError naming the row of an unreadable image, or
    the missing disk space.
    """
    file = cache / f"{_key(cases, spec)}.npy"
    if not file.exists():
        remedy = "give --cache a folder with more room, or a smaller input.resize"
        check_room(cache, len(cases) * spec.size**2, "the decoded images", remedy)
        remove_abandoned(cache)
        _decode_all(cases, spec, file)
    return np.asarray(np.load(file, mmap_mode="r")) if len(cases) else np.zeros((0, spec.size, spec.size), np.uint8)


def _key(cases: Sequence[TrainingCase], spec: PreprocessSpec) -> str:
    digest = sha256(repr(spec).encode())
    broken: list[str] = []
    for case in cases:
        try:
            status = case.image.stat()
        except OSError as error:
            broken.append(f"{case.origin}: {case.image} cannot be read: {cause(error)}")
            continue
        digest.update(f"{case.image.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    raise_for(broken)
    return digest.hexdigest()[:32]


def _decode_all(cases: Sequence[TrainingCase], spec: PreprocessSpec, file: Path) -> None:
    temporary = part_of(file)
    shape = (len(cases), spec.size, spec.size)
    broken: list[str] = []
    try:
        stored = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        for place, image in enumerate(tqdm(_decoded(cases, spec), desc="decode", unit="image", total=len(cases))):
            if isinstance(image, TrainingError):
                broken.append(str(image))
            else:
                stored[place] = image
        raise_for(broken)
        stored.flush()
        del stored
        publish(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def raise_for(broken: Sequence[str]) -> None:
    """Raise TrainingError naming the images that cannot be read, all in one message."""
    if broken:
        more = [f"... and {len(broken) - SHOWN} more"] if len(broken) > SHOWN else []
        count = "an image" if len(broken) == 1 else f"{len(broken)} images"
        raise TrainingError("\n".join([f"{count} cannot be read:", *broken[:SHOWN], *more]))


def _decoded(cases: Sequence[TrainingCase], spec: PreprocessSpec) -> Iterable[Bytes | TrainingError]:
    """Yield decoded images or errors. Decoders release the GIL; memory limits the number of threads."""
    room = max(1, psutil.virtual_memory().available // _DECODED_BYTES)
    workers = min(psutil.cpu_count() or 1, room)
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(cases), 16 * workers):
            yield from pool.map(lambda case: _image_or_error(case, spec), cases[start : start + 16 * workers])


def _image_or_error(case: TrainingCase, spec: PreprocessSpec) -> Bytes | TrainingError:
    try:
        return read_image(case, spec)
    except TrainingError as error:
        return error


def read_image(case: TrainingCase, spec: PreprocessSpec) -> Bytes:
    """Return one image, uint8 (size, size). Raises TrainingError naming its row."""
    radiograph = radiograph_of(case)
    levels = normalise(radiograph.pixels, radiograph.valid, spec)
    return np.asarray(np.rint(levels * 255), dtype=np.uint8)


def radiograph_of(case: TrainingCase) -> Radiograph:
    """Return the decoded image of a row. Raises TrainingError naming the row."""
    try:
        data = case.image.read_bytes()
    except OSError as error:
        raise TrainingError(f"{case.origin}: {case.image} cannot be read: {cause(error)}") from error
    radiograph = decode_file(data)
    if isinstance(radiograph, Rejected):
        raise TrainingError(f"{case.origin}: {case.image}: {radiograph.detail}")
    return radiograph


def to_levels(images: Bytes) -> torch.Tensor:
    """Return float32 (n, 1, s, s) between 0 and 1 of uint8 (n, s, s)."""
    own = images if images.flags.writeable else images.copy()  # torch has no read-only tensors
    return torch.from_numpy(own)[:, None].float() / 255


def standardise(levels: torch.Tensor, spec: PreprocessSpec) -> torch.Tensor:
    """Return the model input of levels between 0 and 1, as ``preprocess`` makes it."""
    return ((levels - spec.mean) / spec.deviation).contiguous(memory_format=torch.channels_last)
