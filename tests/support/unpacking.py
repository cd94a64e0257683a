"""Archives, unpacked as each Python from 3.11.0 on can."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: Path, folder: Path, *, rule: str) -> None:
    """Unpack a tar archive by a rule of ``tarfile``: ``tar`` keeps modes, ``data`` only what data needs.

    Python has the rules since 3.11.4; Debian 12 has 3.11.2, which unpacks what is ours without them.
    """
    with tarfile.open(archive) as tar:
        chosen = getattr(tarfile, f"{rule}_filter", None)
        if chosen is None:
            tar.extractall(folder)
        else:
            tar.extractall(folder, filter=chosen)
