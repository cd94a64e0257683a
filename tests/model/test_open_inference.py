"""The client of the Open Inference Protocol against a server that answers, and against one that does anything else."""

from __future__ import annotations

import json
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.test_http_request import peer
from tests.support.certificates import authority
from tests.support.inference_server import NAME, InferenceServer, images_of, inference_server
from tests.support.ports import free_port
from tests.support.raw_http import drain_request
from triage.dicom.tls import ClientTLS
from triage.model.open_inference import InferenceError, OpenInferenceClient, TensorContract, model_name
from triage.runtime.http_request import HttpResponse

SIZE = 8
CONTRACT = TensorContract("image", "probability", batch=2, columns=1)
IMAGES = np.random.default_rng(0).normal(size=(2, 1, SIZE, SIZE)).astype(np.float32)


@pytest.fixture
def server() -> Iterator[InferenceServer]:
    with inference_server() as running:
        yield running


def client(address: str, timeout_s: float = 10.0, contract: TensorContract = CONTRACT) -> OpenInferenceClient:
    return OpenInferenceClient(address, contract, timeout_s)


def test_the_server_gets_the_very_pixels_and_its_numbers_come_back(server: InferenceServer) -> None:
    answer = client(server.address).infer(IMAGES)
    (request,) = server.asked
    assert np.array_equal(images_of(request), IMAGES)
    assert set(request) == {"inputs", "outputs"} and request["outputs"] == [{"name": "probability"}]
    assert answer.probability.dtype == np.float32 and answer.probability.shape == (2, 1)
    np.testing.assert_array_equal(answer.probability[:, 0], server.model(IMAGES).astype(np.float32))
    assert answer.version == "1"


@pytest.mark.parametrize(
    "changes",
    [{"shape": [2]}, {"data": [[0.25], [0.5]]}, {"datatype": "FP64", "data": [0.25, 0.5]}, {"data": [0, 1]}],
    ids=["a flat shape", "rows", "another width", "integers as JSON writes them"],
)
def test_every_form_that_the_protocol_allows_is_read(server: InferenceServer, changes: dict[str, Any]) -> None:
    server.fault = lambda request: server.scored(request, **changes)
    assert client(server.address).infer(IMAGES).probability.shape == (2, 1)


def test_columns_stay_in_their_order(server: InferenceServer) -> None:
    server.model = lambda images: np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    contract = TensorContract("image", "probability", batch=2, columns=3)
    found = client(server.address, contract=contract).infer(IMAGES).probability
    np.testing.assert_allclose(found, [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": [1, 1], "data": [0.5]}, r"the shape \[1, 1\], not \[2, 1\]"),
        ({"shape": [2, 2], "data": [0.1] * 4}, r"the shape \[2, 2\]"),
        ({"shape": "2"}, "the shape 2, not"),
        ({"data": [0.5]}, "1 numbers for the shape"),
        ({"data": [0.5] * 100}, "100 numbers"),
        ({"data": None}, "0 numbers"),
        ({"data": {"0": 0.5}}, "0 numbers"),
        ({"data": [[[0.5], [0.5]]]}, "not all numbers"),
        ({"data": ["0.5", "0.5"]}, "not all numbers"),
        ({"data": [True, False]}, "not all numbers"),
        ({"data": [None, 0.5]}, "not all numbers"),
        ({"data": [float("nan"), 0.5]}, "no probabilities"),
        ({"data": [float("inf"), 0.5]}, "no probabilities"),
        ({"data": [-3.5, 0.5]}, "no probabilities"),
        ({"data": [10**400, 0.5]}, "none of its datatype"),
        ({"datatype": "INT64"}, "the datatype INT64"),
        ({"datatype": "BYTES\r\nERROR a patient"}, r"the datatype BYTES\?\?ERROR"),
        ({"name": "other"}, "0 outputs called probability"),
    ],
)
def test_what_is_no_probability_for_each_image_is_refused(
    server: InferenceServer, changes: dict[str, Any], said: str
) -> None:
    server.fault = lambda request: server.scored(request, **changes)
    with pytest.raises(InferenceError, match=said):
        client(server.address).infer(IMAGES)


def body(content: bytes, **headers: str) -> Callable[[dict[str, Any]], Any]:
    return lambda request: (200, headers, content)


@pytest.mark.parametrize(
    "fault",
    [
        body(b""),
        body(b"<html>welcome</html>"),
        body(b"[]"),
        body(b"[" * 60_000),
        body(b'{"outputs": [{"name": "probability", "data": [0.5'),
        body(b'{"outputs": [', **{"Content-Length": "500"}),
        lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\ngarbage\r\n",
        lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"out\r\n",
        lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        lambda request: b"SSH-2.0-OpenSSH_9.2\r\n",
        lambda request: b"",
        lambda request: {"model_name": NAME},
        lambda request: {"outputs": [[], 3]},
    ],
    ids=["nothing", "a page", "a list", "a deep one", "half", "less than announced", "garbage in chunks",
         "a chunk cut off", "a length below 0", "another protocol", "hung up", "no outputs", "odd outputs"],
)  # fmt: skip
def test_no_whole_answer_is_an_error_in_words(server: InferenceServer, fault: Callable[[dict[str, Any]], Any]) -> None:
    server.fault = fault
    with pytest.raises(InferenceError, match=r"^(answers with|did not answer)"):
        client(server.address, 5.0).infer(IMAGES)


def test_a_redirect_takes_no_pixels_elsewhere(server: InferenceServer) -> None:
    with inference_server() as elsewhere:
        server.fault = lambda request: (307, {"Location": f"{elsewhere.address}/infer"}, b"")
        with pytest.raises(InferenceError, match=r"redirects \(HTTP 307\), which is not followed"):
            client(server.address).infer(IMAGES)
        assert not elsewhere.asked


def test_an_answer_for_another_model_is_none(server: InferenceServer) -> None:
    server.fault = lambda request: {**server.scored(request), "model_name": "abdomen"}
    with pytest.raises(InferenceError, match="answers for the model abdomen, not chest"):
        client(server.address).infer(IMAGES)


def test_a_refusal_says_what_the_server_says_without_line_ends(server: InferenceServer) -> None:
    error = json.dumps({"error": "unknown model\r\n2026 ERROR " + "x" * 1000})
    server.fault = lambda request: (400, {}, error.encode())
    with pytest.raises(InferenceError, match=r"HTTP 400: unknown model\?\?2026 ERROR x+\)$") as raised:
        client(server.address).infer(IMAGES)
    assert len(str(raised.value)) < 250


def test_a_huge_answer_is_cut_and_costs_no_memory(server: InferenceServer) -> None:
    chunk, stop = b"0.5, " * 200_000, threading.Event()

    def flood(sock: Any) -> None:
        sock.recv(65536)
        sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"outputs": [')
        while not stop.is_set():
            sock.sendall(chunk)

    with peer(flood) as port:
        tracemalloc.start()
        with pytest.raises(InferenceError, match="a longer one than its numbers need"):
            client(f"http://127.0.0.1:{port}/v2/models/{NAME}", 30.0).infer(IMAGES)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        stop.set()
    assert most < 4 << 20


def test_a_late_answer_is_none(server: InferenceServer) -> None:
    released = threading.Event()
    server.fault = lambda request: released.wait(30) and None
    with pytest.raises(InferenceError, match=r"did not answer \(not within 0.3 s\)"):
        client(server.address, 0.3).infer(IMAGES)
    released.set()


def test_a_port_that_is_closed_is_named_as_such() -> None:
    with pytest.raises(InferenceError, match=r"did not answer \(ConnectionRefusedError\)"):
        client(f"http://127.0.0.1:{free_port()}/v2/models/{NAME}").infer(IMAGES)


def test_over_tls_the_server_has_to_be_the_one_whose_authority_we_know(tmp_path: Path) -> None:
    ours, others = authority(tmp_path, "ours"), authority(tmp_path, "others")
    served = ours.certificate("localhost", host="DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served.path, served.key)

    def answer(sock: Any) -> None:
        with context.wrap_socket(sock, server_side=True) as secure:
            drain_request(secure)
            secure.sendall(b"HTTP/1.1 503 later\r\nContent-Length: 0\r\n\r\n")

    with peer(answer) as port:
        address = f"https://localhost:{port}/v2/models/{NAME}"
        for trusted, said in ((ours, "HTTP 503"), (others, "signed by no authority that we were given")):
            tls = ClientTLS("localhost", trusted.path)
            with pytest.raises(InferenceError, match=said):
                OpenInferenceClient(address, CONTRACT, 10.0, tls).infer(IMAGES)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://h/v2/models/chest", "chest"),
        ("https://h:8000/serving/v2/models/chest%20x/versions/3", "chest x"),
    ],
)
def test_the_model_in_an_address(address: str, name: str) -> None:
    assert model_name(address) == name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["probability"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries({}, optional={"model_name": JSON, "model_version": JSON, "outputs": JSON}),
    st.fixed_dictionaries({}, optional={"name": JSON, "datatype": JSON, "shape": JSON, "data": JSON}),
)
@settings(max_examples=40)
def test_whatever_json_comes_it_is_an_error_in_words_or_probabilities(
    whole: dict[str, Any], output: dict[str, Any]
) -> None:
    right = {"name": "probability", "datatype": "FP32", "shape": [2, 1], "data": [0.25, 0.75]}
    body = json.dumps({"model_name": NAME, "outputs": [{**right, **output}], **whole}).encode()
    answering = AnsweringClient(f"http://127.0.0.1:9/v2/models/{NAME}", CONTRACT, 1.0, body=body)
    try:
        found = answering.infer(IMAGES).probability
    except InferenceError:
        return
    assert found.shape == (2, 1) and found.dtype == np.float32 and ((found >= 0) & (found <= 1)).all()


@dataclass(frozen=True)
class AnsweringClient(OpenInferenceClient):
    """A client whose server says ``body``."""

    body: bytes = b""

    def _ask(self, body: bytes) -> HttpResponse:
        return HttpResponse(200, self.body)
