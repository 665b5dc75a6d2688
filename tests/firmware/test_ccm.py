"""What sealing one alert costs on the Pico."""

import pytest

MOST_US = 1600
ROUNDS = 50

SETUP = """
import gc, time
from fieldelm import frame
from fieldelm.ccm import Ccm
cipher = Ccm(bytes(range(16)))
nonce = bytearray(frame.NONCE_BYTES)
buffer = bytearray(frame.MAX_BYTES)
eui = bytes(8)
end = frame.header_into(buffer, frame.ALERT, True, 0, 7, 1) + 10
def seal(rounds):
    for _ in range(rounds):
        cipher.seal_into(buffer, nonce, 5, end, 4)
"""
MEASURE = """
seal(2)
frame.nonce_into(nonce, eui, 1, frame.UPLINK)
gc.collect(); gc.disable()
allocated = gc.mem_alloc()
began = time.ticks_us(); seal({rounds}); took = time.ticks_diff(time.ticks_us(), began)
garbage = gc.mem_alloc() - allocated
gc.enable(); gc.collect()
print(took // {rounds}, garbage // {rounds}, gc.mem_alloc() - allocated)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sealing_an_alert_is_quick_and_leaves_the_heap_as_it_was(tool_chain, pico):
    target = pico()
    target.enter()
    target.run(SETUP)
    took_us, garbage, grown = (int(word) for word in target.run(MEASURE.format(rounds=ROUNDS)).split())
    print(f"{took_us} us, {garbage} bytes of garbage an alert")
    assert 100 < took_us <= MOST_US
    assert garbage <= 48  # three slices
    assert grown <= 0
