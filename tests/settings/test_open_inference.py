"""Pixels go to no server by mistake: addresses off loopback need https and the list of allowed hosts."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from triage.settings.sections.open_inference import OpenInferenceSettings

MODEL = "v2/models/chest"


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        (f"http://127.0.0.1:8000/{MODEL}", ()),
        (f"http://[::1]:8000/{MODEL}/versions/3", ()),
        (f"http://localhost/{MODEL}", ()),
        (f"https://Triton.Hospital.example:8443/{MODEL}", ("triton.hospital.EXAMPLE",)),
        (f"https://triton.hospital.example/serving/{MODEL}", ("other", "triton.hospital.example")),
        (f"https://[2001:db8::7]/{MODEL}", ("[2001:db8::7]",)),
    ],
)
def test_an_address_that_is_meant(address: str, hosts: tuple[str, ...]) -> None:
    found = OpenInferenceSettings(servers=(f"far={address}",), allowed_hosts=hosts)
    assert found.address_by_name == {"far": address}


@pytest.mark.parametrize(
    ("server", "hosts", "said"),
    [
        (f"far=https://triton.example/{MODEL}", (), "would send pixels to triton.example"),
        (f"far=https://triton.example.evil.net/{MODEL}", ("triton.example",), "would send pixels"),
        (f"far=https://127.0.0.1.evil.net/{MODEL}", (), "would send pixels"),
        (f"far=https://triton.example/{MODEL}", ("*",), "would send pixels"),
        (f"far=http://triton.example/{MODEL}", ("triton.example",), "http is taken on loopback alone"),
        (f"far=ftp://127.0.0.1/{MODEL}", (), "no https address"),
        (f"far=https://ann:pw@triton.example/{MODEL}", ("triton.example",), "name or password"),
        (f"far=http://127.0.0.1:99999/{MODEL}", (), "port that is none"),
        (f"far=http://127.0.0.1/{MODEL}/", (), "has to end in"),
        (f"far=http://127.0.0.1/{MODEL}/infer", (), "has to end in"),
        (f"far=http://127.0.0.1/{MODEL}?x=1", (), "has to end in"),
        ("far=http://127.0.0.1:8000", (), "has to end in"),
        (f"http://127.0.0.1/{MODEL}", (), "no NAME=ADDRESS"),
        (f"../far=http://127.0.0.1/{MODEL}", (), "no NAME=ADDRESS"),
    ],
)
def test_any_other_is_refused(server: str, hosts: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        OpenInferenceSettings(servers=(server,), allowed_hosts=hosts)


def test_one_model_has_one_address() -> None:
    with pytest.raises(ValidationError, match="one model twice"):
        OpenInferenceSettings(servers=(f"far=http://127.0.0.1:1/{MODEL}", f"far=http://127.0.0.1:2/{MODEL}"))
