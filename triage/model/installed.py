"""Installed models: their folder, and those that every process loads, checked and without demonstrations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from triage.model.card import CARD, ModelCard, ModelRefusedError, load_cards
from triage.model.registry import RegistryPolicy, check_one_decides, to_be_loaded_alone
from triage.model.serving_range import narrow_all
from triage.model.versions import in_service_by_name
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


@dataclass(frozen=True)
class InstalledModels:
    """Models to load: cards and folders by the name that each has in service, NAME, or in shadow, its folder's."""

    cards: Mapping[str, ModelCard]
    folders: Mapping[str, Path]


def installed(models: Path, names: tuple[str, ...], policy: RegistryPolicy) -> InstalledModels:
    """Return the models to load; those left out are logged. Raises ModelRefusedError."""
    logger.info("models from %s", models)
    by_folder = load_cards(models, names)
    chosen = in_service_by_name(by_folder, policy.shadow, policy.history, names)
    left_out = by_folder.keys() - set(chosen.values())
    if left_out:
        logger.info("not in service, as another version is, or retired: %s", ", ".join(sorted(left_out)))
    found = {name: by_folder[folder].model_copy(update={"name": name}) for name, folder in chosen.items()}
    kept = [name for name, folder in chosen.items() if folder in names]
    loaded = narrow_all(to_be_loaded_alone(found, policy, kept), policy.serve, policy.shadow)
    check_one_decides(loaded, policy.shadow)
    for name in sorted(found.keys() - loaded.keys()):
        logger.warning(
            "%s is marked as a demonstration and scores nothing without models.allow_demo: %s", name, found[name].covers
        )
    return InstalledModels(loaded, {name: models / chosen[name] for name in loaded})
