"""The Pico's firmware from power-on."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_without_configuration_it_says_so_and_leaves_the_repl(pico):
    target = pico()
    target.enter()
    target.write(b"\x02")
    target.until(b">>> ")
    target.write(b"\x04")  # soft reset
    said = target.until(b">>> ").decode()
    assert "config.json" in said
    assert "provision" in said
    assert "Traceback" not in said


def test_it_is_what_it_says_it_is(pico, tool_chain):
    target = pico()
    target.enter()
    target.run("import fieldelm_firmware as f, sys; from fieldelm import __version__, kernels")
    assert target.run("print(f.BOARD, f.VERSION == __version__, len(f.BUILD), kernels.NAME)").split() == [
        *("rpi_pico", "True", "12", "native")
    ]
    assert "2025-04-15" in target.run("print(sys.version)")
