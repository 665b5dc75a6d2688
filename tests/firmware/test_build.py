"""`fieldelm build firmware`: what it makes, when it does nothing, and what it says when it cannot."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from fieldelm_tools import boards, debian, environment, firmware, firmware_image, sources
from fieldelm_tools.errors import FieldelmError, SetupError

ROOT = environment.repository_root()


@pytest.fixture(scope="module")
def built(tool_chain):
    """The Pico's firmware, as it is now."""
    return firmware.build("rpi_pico")


def command(*words, root=ROOT, **variables):
    """Run `fieldelm build firmware` in a checkout."""
    program = "import sys; from fieldelm_tools.cli import main; sys.exit(main(sys.argv[1:]))"
    environ = {key: value for key, value in os.environ.items() if key != "MPY_DIR"}
    environ |= {"PYTHONPATH": str(root / "tools"), **variables}
    line = [sys.executable, "-c", program, "build", "firmware", *words]
    return subprocess.run(line, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_report_tells_what_the_file_holds(built):
    data = built.uf2.read_bytes()
    report = json.loads(built.uf2.with_suffix(".json").read_text())
    assert report["sha256"] == hashlib.sha256(data).hexdigest()
    assert (report["board"], report["chip"], report["natmod"], report["mpy"]) == ("rpi_pico", "rp2040", "armv6m", "6.3")
    assert report["version"] == firmware.version()
    family, image = firmware_image.read_uf2(data)
    assert family == 0xE48BFF56
    assert len(image) % 4096 == 0
    memory = report["memory"]
    assert 0 <= len(image) - memory["flash_used"] < 4096
    flash_mb = boards.load(report["board"])["flash_mb"]
    assert memory["flash_used"] + memory["flash_free"] + memory["file_system"] == flash_mb * 1024 * 1024
    assert memory["text"] + memory["data"] == memory["flash_used"]
    assert memory["static_ram"] + memory["heap"] == 256 * 1024
    assert memory["heap"] > 245_000
    assert set(report["sources"]) == {"micropython", "pico-sdk", "tinyusb", "mbedtls", "compiler"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_image_holds_package_kernels_board_and_nothing_of_this_machine(built):
    _, image = firmware_image.read_uf2(built.uf2.read_bytes())
    for name in (ROOT / "device" / "fieldelm").rglob("*.py"):
        assert f"fieldelm/{name.relative_to(ROOT / 'device' / 'fieldelm')}".encode() + b"\0" in image
    for text in ("main.py", "board.py", "fieldelm_firmware.py", "fixed_levels", "rpi_pico", built.report["build"]):
        assert text.encode() + b"\0" in image
    for text in (str(ROOT), "/home/", "/tmp/", os.uname().nodename + "\0"):
        assert text.encode() not in image


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_done_when_nothing_has_changed(built):
    before = built.uf2.stat().st_mtime_ns
    start = time.monotonic()
    done = command("--board", "rpi_pico", "--json")
    assert time.monotonic() - start < 2
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout) == [built.report]
    assert built.uf2.stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_same_inputs_make_the_same_bytes_elsewhere_and_a_change_makes_others(tool_chain, tmp_path):
    root = tmp_path / "elsewhere"
    for folder in ("device", "boards", "native_modules", "tools"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    built = firmware.build("rpi_pico")
    (root / "build").mkdir()
    (root / "build" / "downloads").symlink_to(environment.build_directory() / "downloads")
    done = command("--board", "rpi_pico", "--json", root=root, TZ="Asia/Tokyo", LANG="de_DE.UTF-8", CFLAGS="-O3")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [built.report]
    copy = root / built.uf2.relative_to(ROOT)
    assert sources.digest(copy) == built.report["sha256"]
    # a wrong pin mended: built again within seconds, and it has another build id
    description = root / "boards" / "rpi_pico" / "board.json"
    description.write_text(description.read_text().replace('"led": {"pin": 25}', '"led": {"pin": 21}'))
    start = time.monotonic()
    done = command("--board", "rpi_pico", "--json", root=root)
    assert time.monotonic() - start < 30
    (changed,) = json.loads(done.stdout)
    assert changed["build"] != built.report["build"]
    assert changed["sha256"] == sources.digest(copy) != built.report["sha256"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_pico_2_gets_an_image_of_its_own(tool_chain):
    second = firmware.build("rpi_pico2")
    family, image = firmware_image.read_uf2(second.uf2.read_bytes())
    assert family == 0xE48BFF59
    assert second.report["natmod"] == "armv7emsp"
    # the boot ROM starts what has an IMAGE_DEF in its first 4 kB: executable, Arm, RP2350 (RP2350 datasheet 5.9.3)
    start = image.index(bytes.fromhex("d3deffff"))
    assert start < 4096
    kind, size, flags = image[start + 4], image[start + 5], int.from_bytes(image[start + 6 : start + 8], "little")
    assert (kind, size) == (0x42, 1)
    assert flags & 0xF == 1
    assert flags >> 8 & 7 == 0
    assert flags >> 12 & 7 == 1
    assert bytes.fromhex("54fb028854fb0399") in image  # smmla twice: the kernels' DSP instructions (armv7em_elm.S)
    memory = second.report["memory"]
    flash_mb = boards.load("rpi_pico2")["flash_mb"]
    assert memory["flash_used"] + memory["flash_free"] + memory["file_system"] == flash_mb * 1024 * 1024
    assert memory["heap"] > 500_000


def test_a_uf2_file_comes_back_as_it_was_and_a_damaged_one_is_refused():
    image = bytes(i * i % 251 for i in range(5000))
    data = firmware_image.uf2(image, firmware_image.FAMILIES["rp2350"])
    family, back = firmware_image.read_uf2(data)
    assert family == 0xE48BFF59
    assert back == image + bytes(2 * 4096 - 5000)
    for wrong in (b"", data[:-1], data[512:], data[:600] + b"\xff" * 40 + data[640:1024] + b"\0" * 512):
        with pytest.raises(FieldelmError, match="UF2"):
            firmware_image.read_uf2(wrong)


def test_an_image_without_a_file_system_is_refused():
    with pytest.raises(FieldelmError, match="no binary information"):
        firmware_image.storage(bytes(4096))


def test_wrong_board_is_one_line():
    done = command("--board", "pico_w")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("fieldelm: there is no boards/pico_w/board.json: boards are ")


def test_unfinished_checkout_is_one_line(tmp_path, tool_chain):
    (tmp_path / "py").mkdir()
    (tmp_path / "py" / "dynruntime.mk").touch()
    done = command("--board", "rpi_pico", MPY_DIR=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"run `make -C {tmp_path}/ports/rp2 submodules`" in done.stderr


def test_missing_tools_are_named_in_one_line(monkeypatch):
    monkeypatch.setattr(debian, "program", lambda name: None)
    monkeypatch.setattr(debian, "install", lambda packages: False)
    with pytest.raises(SetupError) as error:
        firmware.tools()
    text = str(error.value)
    assert text.startswith("firmware needs gcc, make, gcc-arm-none-eabi, cmake, ninja-build: ")
    assert "libnewlib-arm-none-eabi" in text
    assert "\n" not in text


def test_every_board_names_a_definition_that_can_be_built():
    tree = sources.micropython()
    for name in boards.names():
        description = boards.load(name)
        folder = (
            firmware.definition(description) or tree / "ports" / "rp2" / "boards" / description["micropython_board"]
        )
        text = "".join(path.read_text() for path in folder.glob("*.cmake"))
        assert f'"{description["chip"]}"' in text
        assert (folder / "mpconfigboard.h").is_file()
