"""Where the models lie, and which of them every process takes: read, checked, and demonstrations left out."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from triage.model.card import CARD, ModelCard, ModelRefusedError, load_cards
from triage.model.registry import RegistryPolicy, to_be_loaded
from triage.runtime.checkout import checkout

logger = logging.getLogger(__name__)

HERE = Path("models")
PACKAGE = "cxr-triage-models"


def models_folder(chosen: Path | None) -> Path:
    """The folder of the model folders: ``chosen``, else that of the checkout, else that of the package.

    For this one release `models` in the current folder goes before both, and is said to.

    Raises ModelRefusedError that says where it looked.
    """
    if chosen is not None:
        return chosen
    packaged, ours = _packaged(), checkout()
    here, own = HERE.absolute(), ours / "models" if ours else None
    for folder in (here, own, packaged):
        if folder is not None and any(folder.glob(f"*/{CARD}")):
            if folder == here != own:
                logger.warning(
                    "the models are found in %s, where the working directory leads; the next release does not look "
                    "there: set models.path",
                    here,
                )
            return folder
    looked = f"the package {PACKAGE} ({packaged})" if packaged else f"the package {PACKAGE}, which is not installed"
    raise ModelRefusedError(
        f"no models: looked in {here} and in {looked}. Install that wheel, or set models.path to a folder "
        "of model folders"
    )


def _packaged() -> Path | None:
    """The folder of the installed package of models. It is looked up, not imported: there is no code in it."""
    try:
        return Path(str(distribution(PACKAGE).locate_file(PACKAGE.replace("-", "_"))))
    except PackageNotFoundError:
        return None


def installed(models: Path, names: tuple[str, ...], policy: RegistryPolicy) -> dict[str, ModelCard]:
    """The cards of the models to load, by name; whatever is left out is logged. Raises ModelRefusedError."""
    logger.info("models from %s", models)
    found = load_cards(models, names)
    loaded = to_be_loaded(found, policy, names)
    for name in sorted(found.keys() - loaded.keys()):
        logger.warning(
            "%s is marked as a demonstration and scores nothing without models.allow_demo: %s", name, found[name].covers
        )
    return loaded
