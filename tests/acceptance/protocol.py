"""A worker whose model lives at an MLServer on loopback. Run by tests/acceptance/protocol.sh alone."""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.inference_server import brightness
from tests.support.model_folders import SIZE, write_model, write_remote_model
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.service import Roles, a_chest, assert_one_result_each, is_done, receive, roles
from tests.support.wait import wait_for
from tests.support.whole_service import fetch
from triage.model.open_inference import InferenceError, OpenInferenceClient, TensorContract
from triage.model.session import ModelSession
from triage.spool.instance import ReceivedInstance

BIAS = -10.0  # a chest is negative
MODEL = Path(__file__).parent / "protocol_model.py"


@dataclass
class MLServer:
    """MLServer with one model called chest, in a folder of its own."""

    program: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2/models/chest"

    @property
    def asked(self) -> int:
        """How many requests have reached the model."""
        path = self.folder / "asked"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def start(self, *, bias: float = BIAS, seconds: float = 0.0, version: str = "1") -> None:
        self.folder.mkdir(exist_ok=True)
        shutil.copy(MODEL, self.folder / "protocol_model.py")
        extra = {"bias": bias, "seconds": seconds, "asked": str(self.folder / "asked")}
        model = {
            "name": "chest",
            "implementation": "protocol_model.Brightness",
            "parameters": {"version": version, "extra": extra},
        }
        ports = {"http_port": self.port, "grpc_port": free_port(), "metrics_port": free_port()}
        (self.folder / "model-settings.json").write_text(json.dumps(model))
        (self.folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.program, "start", "."], cwd=self.folder, stdout=log, stderr=log)
        wait_for(self._is_ready, "MLServer", 60.0)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.1)
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def again(self, **values: Any) -> None:
        self.kill()
        self.start(**values)


@pytest.fixture
def mlserver(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[MLServer]:
    server = MLServer(pytestconfig.getoption("--mlserver"), tmp_path / "mlserver")
    yield server
    if server.process is not None:
        server.kill()


@pytest.fixture
def house(mlserver: MLServer, tmp_path: Path, redis_server: RedisServer) -> Iterator[Roles]:
    """The model far at the server, for adults; a model of this machine for children; nothing started yet."""
    write_remote_model(tmp_path / "models", "far", bias=BIAS)
    write_model(tmp_path / "models", "near", age_from=1, age_below=6, bias=BIAS)
    settings = {
        "open_inference_servers": f"far={mlserver.address}",
        "open_inference_check_interval_s": "2",
        "open_inference_timeout_s": "15",
        "worker_metrics_port": str(free_port()),
    }
    with roles(tmp_path, redis_server.url, tmp_path / "models", **settings) as running:
        yield running


def tags(house: Roles, instances: Sequence[ReceivedInstance]) -> list[str]:
    def found() -> list[str] | None:
        decisions = [house.spool.decision(each.study_instance_uid) for each in instances]
        return [str(each["tag"]) for each in decisions if each] if all(decisions) else None

    return wait_for(found, "all studies to be decided", 180.0)


def ready(house: Roles) -> int:
    return fetch(int(house.settings["TRIAGE_WORKER_METRICS_PORT"]), "/readyz")[0]


def test_the_answers_are_those_of_the_model(mlserver: MLServer) -> None:
    mlserver.start(bias=0.0, version="v7")
    images = np.random.default_rng(0).normal(size=(4, 1, SIZE, SIZE)).astype(np.float32)
    contract = TensorContract("image", "probability", batch=4, columns=1)
    for address in (mlserver.address, f"{mlserver.address}/versions/v7"):
        answer = OpenInferenceClient(address, contract, 10.0).infer(images)
        np.testing.assert_allclose(answer.probability[:, 0], brightness(images), rtol=1e-6)
        assert answer.version == "v7"
    with pytest.raises(InferenceError, match="HTTP 404: Model other not found"):
        OpenInferenceClient(mlserver.address.replace("chest", "other"), contract, 10.0).infer(images)


def test_killed_in_mid_batch_and_started_again_it_loses_nothing(house: Roles, mlserver: MLServer) -> None:
    mlserver.start(seconds=0.5)
    house.start("work")
    house.start("sweep")
    wait_for(lambda: ready(house) == 200, "the worker")
    before = mlserver.asked
    chests = [receive(house.spool, a_chest(number)) for number in range(16)]
    wait_for(lambda: mlserver.asked >= before + 4, "some of the batch to be scored, and the next to be asked for")
    mlserver.again(seconds=0.0)
    assert tags(house, chests) == ["NORMAL"] * 16
    assert not list(house.spool.dead_letters())
    wait_for(lambda: is_done(house.spool), "the objects to be filed")
    assert_one_result_each(house.spool, house.redis_url, chests)


def test_gone_for_longer_than_patience_its_images_wait_visibly_and_others_go_on(
    house: Roles, mlserver: MLServer
) -> None:
    house.settings["TRIAGE_OPEN_INFERENCE_PATIENCE_S"] = "2"
    mlserver.start()
    house.start("work")
    house.start("sweep")
    wait_for(lambda: ready(house) == 200, "the worker")
    mlserver.kill()
    adults = [receive(house.spool, a_chest(number)) for number in range(3)]
    child = receive(house.spool, a_chest(9, age="003Y"))
    assert tags(house, [*adults, child]) == ["NOT_ASSESSED"] * 3 + ["NORMAL"]
    wait_for(lambda: len(list(house.spool.dead_letters())) == 3, "the three to be given up")
    assert all("the model far is out of service" in json.dumps(why) for _, why in house.spool.dead_letters())
    assert ready(house) == 503
    mlserver.start()
    wait_for(lambda: ready(house) == 200, "the model to be back")
    assert house.start("dead-letters", "--requeue-all").wait() == 0
    wait_for(lambda: tags(house, adults) == ["NORMAL"] * 3, "the three to be scored", 120.0)
    wait_for(lambda: is_done(house.spool), "the objects to be filed")
    assert_one_result_each(house.spool, house.redis_url, [*adults, child])


def test_other_weights_under_the_same_name_score_nothing(house: Roles, mlserver: MLServer) -> None:
    mlserver.start()
    house.start("work")
    house.start("sweep")
    wait_for(lambda: ready(house) == 200, "the worker")
    mlserver.again(bias=BIAS - 0.01)  # more negative: all would be NORMAL
    assert tags(house, [receive(house.spool, a_chest(1))]) == ["NOT_ASSESSED"]
    mlserver.again(bias=BIAS - 0.01, version="2")
    assert tags(house, [receive(house.spool, a_chest(2))]) == ["NOT_ASSESSED"]
    mlserver.again(version="3")
    wait_for(lambda: ready(house) == 200, "the right model to be back")
    assert tags(house, [receive(house.spool, a_chest(3))]) == ["NORMAL"]


def test_what_a_request_costs(mlserver: MLServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A figure for docs/reference/benchmarks.md: the protocol alone, as both models compute a mean."""
    mlserver.start(bias=0.0)
    side = 224
    card = write_model(tmp_path, "near", size=side)
    session = ModelSession(tmp_path / "near", card, threads=1)
    images = np.random.default_rng(0).normal(size=(1, 1, side, side)).astype(np.float32)
    for batch in (1, 2, 8):
        client = OpenInferenceClient(mlserver.address, TensorContract("image", "probability", batch, 1), 30.0)
        whole = np.repeat(images, batch, axis=0)
        far = [_seconds(lambda client=client, whole=whole: client.infer(whole)) for _ in range(15)]
        near = [_seconds(lambda whole=whole: session.score(whole)) for _ in range(15)]
        with capsys.disabled():
            medians = [1000 * statistics.median(each) for each in (far, near)]
            sys.stdout.write(f"\nbatch {batch}: {medians[0]:.1f} ms at MLServer, {medians[1]:.2f} ms in the process")


def _seconds(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
