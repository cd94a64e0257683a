"""Installed models: their folder, and those that every process loads, checked and without demonstrations."""

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
    """Return the folder of the model folders: ``chosen``, else that of the checkout, else that of the package.

    Until 0.3.0 `models` in the current folder precedes both, with a warning. Raises ModelRefusedError that lists the
    folders that were searched.
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
    """Return the folder of the installed package of models. It is not imported: there is no code in it."""
    try:
        return Path(str(distribution(PACKAGE).locate_file(PACKAGE.replace("-", "_"))))
    except PackageNotFoundError:
        return None


def installed(models: Path, names: tuple[str, ...], policy: RegistryPolicy) -> dict[str, ModelCard]:
    """Return the cards of the models to load, by name; those left out are logged. Raises ModelRefusedError."""
    logger.info("models from %s", models)
    found = load_cards(models, names)
    loaded = to_be_loaded(found, policy, names)
    for name in sorted(found.keys() - loaded.keys()):
        logger.warning(
            "%s is marked as a demonstration and scores nothing without models.allow_demo: %s", name, found[name].covers
        )
    return loaded
