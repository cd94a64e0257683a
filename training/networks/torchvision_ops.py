"""Import torchvision with a torch that it was not built for.

A CUDA build of torchvision cannot load its compiled operators with a CPU torch, and its import fails where it
registers shapes for two of them. The networks and their weights need neither: their schemas alone are enough.
"""

from __future__ import annotations

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def declare_missing() -> torch.library.Library | None:
    """Try the import, and declare missing operators. Keep the returned library as long as torchvision is used."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name, schema in _SCHEMAS.items():
            if not hasattr(torch.ops.torchvision, name):
                library.define(schema)  # type: ignore[no-untyped-call]
        return library
    return None


_DECLARED = declare_missing()

from torchvision import models  # noqa: E402  # only after the declarations

__all__ = ["models"]
