"""Packages of an extra that is not installed, as one line that says what to install."""

from __future__ import annotations

_EXTRA_OF = {
    "onnxruntime": "cpu",
    **dict.fromkeys(("cryptography", "joserfc"), "oidc"),
    **dict.fromkeys(("jinja2", "matplotlib", "scipy", "sklearn", "statsmodels"), "validate"),
    **dict.fromkeys(("onnx", "timm", "torch", "torchvision", "tqdm"), "train"),
}


def what_to_install(error: ModuleNotFoundError, program: str, extras: str = "") -> str | None:
    """What ``program`` lacks and how to install it; None if the missing module is of no extra of ours.

    ``extras`` names what the program needs as a whole, where that is more than the missing package's own.
    """
    package = (error.name or "").partition(".")[0]
    if package not in _EXTRA_OF:
        return None
    wanted = extras or _EXTRA_OF[package]
    gpu = " (or gpu instead of cpu, never both)" if "cpu" in wanted else ""
    return f"{program} needs {package}, which is not installed: pip install 'cxr-triage[{wanted}]'{gpu}"
