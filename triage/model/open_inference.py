"""A client of one model at a server that speaks the Open Inference Protocol v2 over HTTP (Triton, KServe, MLServer).

The specification is github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. Nothing but
pixels and the names of tensors goes out. Redirects are not followed and proxies are not used (docs/adr/0061).
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt

from triage.dicom.tls import ClientTLS, explain
from triage.errors import TriageError
from triage.runtime.http_request import HttpPeer, HttpResponse, PeerError

FloatArray = npt.NDArray[np.float32]

_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_NUMBERS = ("FP32", "FP64", "FP16")
_ENVELOPE = 1 << 16  # bytes of a response around its numbers
_NUMBER = 32  # bytes of one number as text, with its separator
_SHOWN = 160  # characters of a server's own words


class InferenceError(TriageError):
    """A request that got no valid answer. The message goes on after "its server"; it has no address."""


@dataclass(frozen=True)
class TensorContract:
    """Tensors of the model: names, images in a request, and columns of probabilities in the response.

    The input is FP32 (batch, 1, size, size), the output (batch, columns), or (batch) for one column.
    """

    input: str
    output: str
    batch: int
    columns: int


@dataclass(frozen=True)
class Answer:
    """Probabilities float32 (batch, columns), and the version that the response states; empty if it states none."""

    probability: FloatArray
    version: str


@dataclass(frozen=True)
class OpenInferenceClient:
    """Asks for the scores of one model.

    Attributes:
        address: Of the model: ``http(s)://HOST[:PORT]/v2/models/NAME[/versions/VERSION]``.
        contract: Its tensors.
        timeout_s: Seconds for a request, from the connection to the last byte of the response.
        tls: Our side of https.
    """

    address: str
    contract: TensorContract
    timeout_s: float
    tls: ClientTLS | None = None

    def infer(self, images: FloatArray) -> Answer:
        """Return the answer for images (batch, 1, size, size). Raises InferenceError."""
        response = self._ask(_request(images, self.contract))
        if response.status != 200:
            raise _refusal(response)
        record = _parsed(response.body)
        self._check_model(record)
        version = record.get("model_version")
        return Answer(_probability(record, self.contract), "" if version is None else _shown(version))

    def _ask(self, body: bytes) -> HttpResponse:
        numbers = self.contract.batch * self.contract.columns
        most = _ENVELOPE + _NUMBER * numbers
        peer = HttpPeer(f"{self.address}/infer", self.timeout_s, self._context(), most=most)
        try:
            return peer.ask("POST", body, _HEADERS)
        except PeerError as error:
            raise InferenceError(f"did not answer ({_described(error, self.timeout_s)})") from error
        finally:
            peer.close()

    def _context(self) -> ssl.SSLContext | None:
        try:
            return self.tls.context() if self.tls else None
        except (OSError, ValueError) as error:
            raise InferenceError(f"was not asked: our files of TLS cannot be used ({error})") from error

    def _check_model(self, record: Mapping[str, object]) -> None:
        asked = model_name(self.address)
        if (found := record.get("model_name", asked)) != asked:
            raise InferenceError(f"answers for the model {_shown(found)}, not {asked}")


def model_name(address: str) -> str:
    """Return the name of the model in an address."""
    return unquote(urlsplit(address).path.rpartition("/v2/models/")[2].partition("/")[0])


def _request(images: FloatArray, contract: TensorContract) -> bytes:
    """Return the request in JSON, with numbers of nine digits: each is read as the very float32.

    Written by json.dumps they would be doubles of 17 digits, which takes five times as long.
    """
    if not np.isfinite(images).all():
        raise ValueError("a model input has numbers that are not finite")
    tensor = {"name": contract.input, "shape": list(images.shape), "datatype": "FP32", "data": []}
    request = json.dumps({"outputs": [{"name": contract.output}], "inputs": [tensor]})
    numbers = ",".join(["%.9g"] * images.size) % tuple(images.ravel().tolist())
    return f"{request.removesuffix(']}]}')}{numbers}]}}]}}".encode()


def _refusal(response: HttpResponse) -> InferenceError:
    status = response.status
    if 300 <= status < 400:
        return InferenceError(f"redirects (HTTP {status}), which is not followed: correct its address")
    return InferenceError(f"refuses the request (HTTP {status}{_error_text(response.body)})")


def _error_text(body: bytes) -> str:
    """Return the ``error`` of a response of the protocol, for the person who runs the server."""
    try:
        error = _parsed(body).get("error")
    except InferenceError:
        return ""
    return f": {_shown(error)}" if isinstance(error, str) else ""


def _shown(value: object) -> str:
    """Return a server's words in printable ASCII, cut."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in str(value)[:_SHOWN])


def _parsed(body: bytes) -> Mapping[str, object]:
    try:
        record: object = json.loads(body)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise InferenceError("answers with no whole JSON object, or with a longer one than its numbers need")
    return record


def _probability(record: Mapping[str, object], contract: TensorContract) -> FloatArray:
    """Return the numbers of the output. Raises InferenceError unless they are probabilities of the contract's shape."""
    tensor = _output(record, contract.output)
    if tensor.get("datatype") not in _NUMBERS:
        raise InferenceError(f"answers with the datatype {_shown(tensor.get('datatype'))}, not FP32")
    shapes = [[contract.batch, contract.columns], *([[contract.batch]] if contract.columns == 1 else [])]
    if (shape := tensor.get("shape")) not in shapes:
        raise InferenceError(f"answers with the shape {_shown(shape)}, not {shapes[0]}")
    numbers = _numbers(tensor.get("data"))
    if len(numbers) != contract.batch * contract.columns:
        raise InferenceError(f"answers with {len(numbers)} numbers for the shape {shapes[0]}")
    if not ((numbers >= 0) & (numbers <= 1)).all():  # NaN is neither
        raise InferenceError("answers with numbers that are no probabilities (0 to 1)")
    return numbers.reshape(contract.batch, contract.columns).astype(np.float32)


def _output(record: Mapping[str, object], name: str) -> Mapping[str, object]:
    outputs = record.get("outputs")
    found = [each for each in outputs if isinstance(each, dict)] if isinstance(outputs, list) else []
    named = [each for each in found if each.get("name") == name]
    if len(named) != 1:
        raise InferenceError(f"answers with {len(named)} outputs called {name}, not one")
    return named[0]


def _numbers(data: object) -> npt.NDArray[np.float64]:
    """Return the numbers of ``data``, flat or as rows (both are allowed). Raises InferenceError."""
    rows = data if isinstance(data, list) else []
    flat = [each for row in rows for each in (row if isinstance(row, list) else [row])]
    if not all(isinstance(each, float | int) and not isinstance(each, bool) for each in flat):
        raise InferenceError("answers with data that are not all numbers")
    try:
        return np.array(flat, dtype=np.float64)
    except OverflowError:
        raise InferenceError("answers with a number that is none of its datatype") from None


def _described(error: PeerError, timeout_s: float) -> str:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError):
        return explain(cause)
    return f"not within {timeout_s:g} s" if str(error) == "TimeoutError" else str(error)
