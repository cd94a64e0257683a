"""Packages of an extra that is not installed: one line with the command that installs it."""

from __future__ import annotations

_EXTRA_OF = {
    "onnxruntime": "cpu",
    **dict.fromkeys(("cryptography", "joserfc"), "oidc"),
    **dict.fromkeys(("alembic", "pg8000", "sqlalchemy"), "cluster"),
    **dict.fromkeys(("jinja2", "matplotlib", "scipy", "sklearn", "statsmodels"), "validate"),
    "onnx": "import",
    **dict.fromkeys(("timm", "torch", "torchvision", "tqdm"), "train"),
}


def what_to_install(error: ModuleNotFoundError, program: str, extras: str = "") -> str | None:
    """Return the missing package of ``program`` and its installation; None if it is of no extra of this package.

    ``extras``: all extras of the program, if it needs more than that of the missing package.
    """
    package = (error.name or "").partition(".")[0]
    if package not in _EXTRA_OF:
        return None
    wanted = extras or _EXTRA_OF[package]
    gpu = " (or gpu instead of cpu, never both)" if "cpu" in wanted else ""
    return f"{program} needs {package}, which is not installed: pip install 'cxr-triage[{wanted}]'{gpu}"
