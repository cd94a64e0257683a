"""Files rebuilt from public reports of what went wrong elsewhere: damage, and attributes written oddly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.radiographs import attempted, decoded
from triage.decision.reasons import Reason
from triage.radiograph.types import Rejected

DAMAGED = [
    "C05l_cut_half_with_eoi",
    "C05l_cut_half_with_eoi_nrm",
    "C05m_cut_80pc_with_eoi",
    "C06h_baseline_cut_half_eoi",
    "C06h_baseline_cut_half_eoi_nrm",
    "C09b_jpll_30pc_lost_eoi",
    "C09d_baseline_30pc_lost_eoi",
    "C09h_baseline_6th_fragment_lost",
]
THE_SAME = [
    "B03h_padding_two_values",
    "B03j_padding_ob",
    "B04g_text",
    "B04h_comma",
    "C04b_jls_zero_before_eoi",
    "G03g_first_empty",
]
"""One radiograph, without loss and with the window 2040, 3680 of all of them."""


def file_of(triage_data: Path, case: str) -> bytes:
    return (triage_data / "field-cases" / f"{case}.dcm").read_bytes()


@pytest.mark.parametrize("case", [*DAMAGED, "C07n_no_delimiter"])
def test_a_damaged_image_is_undecodable(triage_data: Path, case: str) -> None:
    result = attempted(file_of(triage_data, case))
    assert isinstance(result, Rejected) and result.reason is Reason.UNDECODABLE


@pytest.mark.parametrize("case", THE_SAME)
def test_odd_writing_changes_no_pixel(triage_data: Path, case: str) -> None:
    one = decoded(file_of(triage_data, THE_SAME[0])).pixels
    assert np.array_equal(decoded(file_of(triage_data, case)).pixels, one)


def test_a_decimal_comma_is_a_window(triage_data: Path) -> None:
    one = decoded(file_of(triage_data, THE_SAME[0])).pixels
    assert np.abs(decoded(file_of(triage_data, "G03e_comma")).pixels - one).max() < 0.001  # its centre is 2040.5


def test_where_bits_stored_says_ten_a_codestream_of_twelve_decides(triage_data: Path) -> None:
    extended = decoded(file_of(triage_data, "C06e_extended12_hdr10_nrm")).pixels
    jpeg2000 = decoded(file_of(triage_data, "C01j_j2ki12_hdr10_nrm")).pixels
    assert np.abs(extended - jpeg2000).mean() < 0.005 and 0.5 < extended.mean() < 0.7


def test_a_table_that_states_ten_bits_of_its_twelve_is_not_all_white(triage_data: Path) -> None:
    assert 0.5 < decoded(file_of(triage_data, "G02c4_voilut_says10_data12_nrm")).pixels.mean() < 0.7
