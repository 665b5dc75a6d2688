"""How many forged frames would be believed in a year, against what is promised."""

import re
from pathlib import Path

import pytest

from fieldelm import airtime, frame, payloads
from fieldelm_gateway import verify
from fieldelm_tools import forgery, frame_doc

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "security.md"


@pytest.mark.parametrize("row", forgery.rows(), ids=lambda row: f"SF{row.sf}")
def test_targets_hold_at_every_spreading_factor(row):
    assert row.uplinks_4 <= 0.15
    assert row.uplinks_8 <= 1e-9
    assert row.downlinks <= 1e-9


def test_the_figure_at_sf7_by_hand():
    # 18 bytes, SF7, 125 kHz: 12.25 + 8 + 6 x 5 symbols of 1.024 ms (AN1200.13)
    seconds = 50.25 * 1.024e-3
    assert airtime.time_on_air_us(18, 7) == pytest.approx(seconds * 1e6, abs=1000)
    assert forgery.expected(7).uplinks_4 == pytest.approx(365.25 * 86400 / seconds / 2**32, rel=0.03)


def test_nothing_shorter_than_that_is_opened_under_the_short_tag(bench):
    node = bench.node()
    for kind in frame.SHORT_TAG:
        for length in range(verify.LEAST_PAYLOAD):
            assert bench.hear(node.seal(kind, bytes(length), ack=True)) is None
    assert bench.drops == {"bad_length": 4 * verify.LEAST_PAYLOAD}
    assert bench.rows("SELECT highest FROM node_key") == [(None,)]
    for table in (payloads.ALERT, payloads.STATUS, payloads.MODEL):
        assert payloads.size(table) >= verify.LEAST_PAYLOAD
    assert payloads.size(payloads.TRACE) < verify.LEAST_PAYLOAD  # so a node fills short ones up


def test_the_page_has_the_frames_and_figures_that_the_program_prints():
    text = PAGE.read_text()
    found = re.search(r"<!-- frames -->\n\n(.*?)\n<!-- /frames -->", text, re.DOTALL)
    assert found[1] == frame_doc.whole_frames()
    assert forgery.table([*forgery.rows("125"), *forgery.rows("500")]) in text
