"""Models whose loading does not end, or ends its process."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.model_folders import write_model
from tests.support.service import a_chest
from triage.errors import StartError
from triage.model.session import check_loads
from triage.model.trial_load import NotLoadedError, try_to_load
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.predict import Compute, LoadedModels, predict

PATIENT_S = 60.0


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def refuse() -> None:
    raise StartError("what the next one meets itself")


def test_what_never_returns_is_stopped_in_time() -> None:
    with pytest.raises(NotLoadedError, match=r"^m did not load and run once within 0\.5 s \(worker\.load_timeout_s\)"):
        try_to_load("m", partial(time.sleep, 10_000), seconds=0.5)


def test_what_dies_takes_nobody_with_it() -> None:
    with pytest.raises(NotLoadedError, match=r"^m ended the process in which it was loaded and run once \(SIGSEGV\)"):
        try_to_load("m", die, seconds=PATIENT_S)


def test_what_is_refused_is_left_to_the_next() -> None:
    try_to_load("m", refuse, seconds=PATIENT_S)


def test_a_real_graph_whose_constants_are_endless_is_stopped_and_another_is_not(tmp_path: Path) -> None:
    endless, plain = write_model(tmp_path, "endless", endless_load=True), write_model(tmp_path, "plain")
    check_loads(tmp_path / "plain", plain, "cpu", 1, PATIENT_S)
    with pytest.raises(NotLoadedError, match="endless did not load and run once within 2 s"):
        check_loads(tmp_path / "endless", endless, "cpu", 1, 2.0)


def test_a_first_run_that_hangs_in_one_node_is_stopped_too(tmp_path: Path) -> None:
    card = write_model(tmp_path, "tiny", endless_node=True)
    with pytest.raises(NotLoadedError, match="tiny did not load and run once within 3 s"):
        check_loads(tmp_path / "tiny", card, "cpu", 1, 3.0)


def test_predict_refuses_it(tmp_path: Path, a_file: Path) -> None:
    write_model(tmp_path, "endless", endless_load=True)
    compute = Compute(threads=1, decode_processes=1, load_timeout_s=1.0)
    with pytest.raises(NotLoadedError):
        list(predict([a_file], LoadedModels.only(tmp_path / "endless"), AssessmentPolicy(), compute))


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    path = tmp_path / "a.dcm"
    path.write_bytes(a_chest(age="050Y"))
    return path
