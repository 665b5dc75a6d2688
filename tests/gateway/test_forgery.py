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
    # 18 bytes, SF7, 125 kHz, no CRC: 10.25 + 8 + 6 x 5 symbols of 1.024 ms (AN1200.13)
    seconds = 48.25 * 1.024e-3
    assert airtime.time_on_air_us(18, 7, preamble_len=6, crc=False) == seconds * 1e6
    assert forgery.expected(7).uplinks_4 == pytest.approx(365.25 * 86400 / seconds / 2**32)


def test_every_figure_by_the_formula_of_the_application_note():
    for bw in (125, 500):
        for row in forgery.rows(str(bw)):
            symbol_s = 2**row.sf / (bw * 1000)
            slow = 2 if symbol_s > 0.016 else 0

            def guesses(length, row=row, symbol_s=symbol_s, slow=slow):
                blocks = -(-(8 * length - 4 * row.sf + 28) // (4 * (row.sf - slow)))
                return 365.25 * 86400 / ((6 + 4.25 + 8 + 5 * max(blocks, 0)) * symbol_s)

            assert row.uplinks_4 == pytest.approx(guesses(5 + 9 + 4) / 2**32)
            assert row.uplinks_8 == pytest.approx(guesses(5 + 8) / 2**64)
            assert row.downlinks == pytest.approx(4 * guesses(5 + 1 + 8) / 2**64)  # four gateways are believed


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
