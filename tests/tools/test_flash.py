"""`fieldelm flash`: drives and UF2 files as data; MicroPython's REPL and the whole way on an emulated Pico."""

import json
import os
import pty
import shutil
import socket
import struct
import threading
import time
import tty
from types import SimpleNamespace

import pytest

from fieldelm import frame, payloads
from fieldelm_gateway.cipher import Ccm
from fieldelm_tools import device as device_module, emulate, environment, firmware_image, flash_natmod, flash_volume
from fieldelm_tools.device import About, Device, DeviceError
from fieldelm_tools.errors import UsageError
from fieldelm_tools.flash_volume import Volume

pytestmark = pytest.mark.timeout(400)  # the first one may have to build firmware

IMAGE = bytes(range(256)) * 64
QUIET = lambda text: None  # noqa: E731


def uf2_file(folder, chip="rp2040", change=lambda data: data):
    path = folder / f"{chip}.uf2"
    path.write_bytes(change(firmware_image.uf2(IMAGE, firmware_image.FAMILIES[chip])))
    return path


def drive(folder, board_id="RPI-RP2"):
    folder.mkdir(exist_ok=True)
    (folder / "INFO_UF2.TXT").write_text(f"UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: {board_id}\n")
    return folder


# UF2 files and drives


@pytest.mark.parametrize("chip", ["rp2040", "rp2350"])
def test_a_uf2_file_tells_its_chip(tmp_path, chip):
    assert flash_volume.chip_of(uf2_file(tmp_path, chip)) == chip


def test_the_block_that_rp2350_files_begin_with_is_no_second_chip(tmp_path):
    # picotool puts one block of family "absolute" before the image (RP2350-E10)
    absolute = struct.pack(
        "<8I476sI", 0x0A324655, 0x9E5D5157, 0x2000, 0x10FFFF00, 256, 0, 2, 0xE48BFF57, b"", 0x0AB16F30
    )
    path = uf2_file(tmp_path, "rp2350", lambda data: absolute + data)
    assert flash_volume.chip_of(path) == "rp2350"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: b"", "multiple of 512"),
        (lambda data: data[:-1], "multiple of 512"),
        (lambda data: data[:-512], "incomplete: 63 of 64 blocks"),
        (lambda data: data[:1024] + b"\0" + data[1025:], "damaged in block 2"),
        (lambda data: data[:28] + struct.pack("<I", 0x1C5F21B0) + data[32:512], "no RP2040"),
        (lambda data: b"x" * 512, "damaged in block 0"),
    ],
)
def test_what_is_no_sound_uf2_file_is_refused(tmp_path, change, why):
    with pytest.raises(UsageError, match=why):
        flash_volume.chip_of(uf2_file(tmp_path, change=change))


def test_a_drive_tells_its_chip_and_other_folders_are_refused(tmp_path):
    assert flash_volume.volume(drive(tmp_path / "a")).chip == "rp2040"
    assert flash_volume.volume(drive(tmp_path / "b", "RP2350")).chip == "rp2350"
    with pytest.raises(UsageError, match="neither RPI-RP2 nor RP2350"):
        flash_volume.volume(drive(tmp_path / "c", "SAMD51"))
    with pytest.raises(UsageError, match="hold BOOTSEL"):
        flash_volume.volume(tmp_path)


def test_a_file_for_the_other_chip_never_reaches_the_drive(tmp_path, fieldelm):
    folder = drive(tmp_path / "drive", "RP2350")
    result = fieldelm("flash", "--firmware", uf2_file(tmp_path), "--volume", folder)
    assert result.code == 2
    assert "is for the RP2040, the board at" in result.err
    assert "has an RP2350" in result.err
    assert len(result.lines) == 1
    assert [path.name for path in folder.iterdir()] == ["INFO_UF2.TXT"]


def test_copying_ends_when_the_board_has_taken_the_file(tmp_path, fieldelm):
    folder, taken = drive(tmp_path / "drive"), []

    def board():
        while not (uf2 := emulate.complete(folder)):
            time.sleep(0.02)
        taken.append(uf2.read_bytes())
        shutil.rmtree(folder)

    threading.Thread(target=board, daemon=True).start()
    file = uf2_file(tmp_path)
    result = fieldelm("flash", "--firmware", file, "--volume", folder)
    assert result.code == 0, result
    assert taken == [file.read_bytes()]
    assert "has taken rp2040.uf2" in result.out


def test_a_board_that_does_not_take_the_file_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(flash_volume, "_TAKEN_S", 0.2)
    with pytest.raises(DeviceError, match=r"has not taken rp2040\.uf2"):
        flash_volume.copy(uf2_file(tmp_path), Volume(drive(tmp_path / "drive"), "rp2040"), QUIET)


def test_copying_that_stops_in_the_middle_says_so(tmp_path):
    folder = drive(tmp_path / "drive")
    (folder / "rp2040.uf2").symlink_to("/dev/full")
    with pytest.raises(DeviceError, match=r"stopped at 0 % \(No space left on device\).*repeat"):
        flash_volume.copy(uf2_file(tmp_path), Volume(folder, "rp2040"), QUIET)


def test_waiting_says_what_to_do_and_ends(tmp_path):
    said = []
    with pytest.raises(DeviceError, match="hold BOOTSEL"):
        flash_volume.wait("rp2350", 0.3, said.append, list)
    assert said == ["waiting for the drive RP2350: hold BOOTSEL while you plug the board in"]
    two = [Volume(tmp_path / "a", "rp2040"), Volume(tmp_path / "b", "rp2040")]
    with pytest.raises(DeviceError, match="--volume"):
        flash_volume.wait("rp2040", 1, said.append, lambda: two)


# what stock MicroPython must be


def about(**changes):
    fields = {
        "platform": "rp2",
        "version": (1, 25, 0),
        "mpy": 4870,
        "machine": "Raspberry Pi Pico with RP2040",
        "id": "e66",
        "release": None,
        "build": None,
        "board": None,
    }
    return SimpleNamespace(port="/dev/ttyACM0", about=About(**{**fields, **changes}))


def test_the_architecture_comes_from_the_board():
    assert about().about.architecture == "armv6m"
    assert about(mpy=7942).about.architecture == "armv7emsp"
    flash_natmod.check(about(), "rpi_pico")
    flash_natmod.check(about(machine="Raspberry Pi Pico2 with RP2350", mpy=7942), "rpi_pico2")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"version": (1, 22, 2), "mpy": 4614},
            r"MicroPython 1\.22\.2 loads native modules of format 6\.2.*1\.23 and later",
        ),
        ({"version": (1, 19, 1), "mpy": 0}, r"1\.19\.1.*format 0\.0.*flash a newer MicroPython"),
        ({"machine": "Raspberry Pi Pico2 with RP2350"}, "this is an RP2350, rpi_pico has an RP2040"),
        ({"release": "0.1.0", "board": "rpi_pico"}, "use `fieldelm flash --board rpi_pico`"),
    ],
)
def test_boards_that_cannot_take_the_native_module_are_told_why(changes, why):
    with pytest.raises(UsageError, match=why):
        flash_natmod.check(about(**changes), "rpi_pico")


# ports


def test_a_port_that_is_not_there_is_one_line(fieldelm):
    result = fieldelm("flash", "--natmod", "--board", "rpi_pico", "--port", "/dev/ttyNOT")
    assert result.code == 1
    assert len(result.lines) == 1
    assert "there is no such port" in result.err


def test_nothing_behind_a_socket_is_one_line(fieldelm):
    result = fieldelm("flash", "--natmod", "--board", "rpi_pico", "--port", "socket://127.0.0.1:9")
    assert (result.code, len(result.lines)) == (1, 1)
    assert "is an emulated board running there" in result.err


def test_an_unknown_board_lists_the_known_ones(fieldelm):
    result = fieldelm("flash", "--board", "pico", "--port", "socket://127.0.0.1:9")
    assert result.code == 2
    assert "rpi_pico" in result.err


def test_the_board_must_be_named_where_it_cannot_be_known(fieldelm, tmp_path):
    result = fieldelm("flash", "--volume", drive(tmp_path / "drive"))
    assert result.code == 2
    assert "--board: adafruit_feather_rp2040_rfm95, rpi_pico" in result.err


def test_a_board_that_prints_for_ever_ends_in_an_error(monkeypatch):
    # as one does whose app has started again in the middle, after a brown-out for example
    monkeypatch.setattr(device_module, "_LONGEST_S", 0.5)
    monkeypatch.setattr(device_module, "_ATTEMPTS", 1)
    server = socket.create_server(("127.0.0.1", 0))

    def chatter():
        connection, _ = server.accept()
        try:
            while True:
                connection.sendall(b'{"kind": "row"}\r\n')
                time.sleep(0.01)
        except OSError:
            pass

    threading.Thread(target=chatter, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(DeviceError, match="no MicroPython answers"):
        Device(f"socket://127.0.0.1:{server.getsockname()[1]}")
    assert time.monotonic() - began < 15
    server.close()


# on an emulated Pico


@pytest.mark.slow
def test_a_package_goes_onto_stock_micropython_and_only_changes_go_again(pico, fieldelm):
    port = pico(plain=True).address()
    first = fieldelm("flash", "--natmod", "--board", "rpi_pico", "--port", port)
    assert first.code == 0, first
    assert "files written" in first.out
    with Device(port) as device:
        assert (device.about.board, device.about.release) == ("rpi_pico", None)
        assert device.run("from fieldelm import kernels\nprint(kernels.NAME)").strip() == "native"
        assert not [path for path in device.files() if path.endswith(".new")]
        device.put({"lib/fieldelm/airtime.mpy": b"spoilt", "lib/fieldelm/gone.mpy": b"of a version before"})
    second = fieldelm("flash", "--natmod", "--port", port)
    assert second.code == 0, second
    assert "2 files written" in second.out  # the spoilt one, and main.py, which was away meanwhile
    with Device(port) as device:
        assert "lib/fieldelm/gone.mpy" not in device.files()
    third = fieldelm("flash", "--natmod", "--port", port)
    assert "up to date" in third.out


@pytest.mark.slow
def test_a_node_on_stock_micropython_is_on_the_air(pico, fieldelm, sensor_chip, radio_chip):
    emulator = pico(plain=True, chips=[radio_chip, sensor_chip], trace=True)
    port = emulator.address()
    assert fieldelm("flash", "--natmod", "--board", "rpi_pico", "--port", port).code == 0
    words = ("--database", "g.db", "--out", "nodes", "--set", "sense.period_s=5", "--set", "radio.sf=7")
    provided = fieldelm("provision", *words, "--port", port, "--name", "fan", "--json")
    assert provided.code == 0, provided
    # `provision` has restarted the board: no one is at its console any more
    said = emulator.wait_for(lambda event: event["event"] == "frame", 60)
    data = bytes.fromhex(said["data"])
    header = frame.parse(data, frame.UPLINK)
    assert (header.kind, header.node_id, header.ack_wanted) == (frame.HELLO, 1, True)
    card = json.loads(provided.out)["nodes"][0]
    config = json.loads((fieldelm.folder / "nodes" / "fan" / "config.json").read_text())
    assert config["eui"] == card["eui"]
    cipher, nonce, buffer = Ccm(bytes.fromhex(config["keys"]["0"])), bytearray(frame.NONCE_BYTES), bytearray(data)
    eui = bytes.fromhex(card["eui"])
    start, _ = frame.open_into(buffer, len(data), cipher, nonce, eui, header.counter, frame.UPLINK)
    hello = payloads.unpack(payloads.HELLO, buffer, start)
    assert hello["kernels_native"] == 1
    assert (hello["reports_fault"], hello["bands"], hello["window_period_s"]) == (0, 64, 5)
    with Device(port) as device:  # and it goes on: commissioning, with memory to spare
        assert int(device.run("import gc\ngc.collect()\nprint(gc.mem_free())")) > 30_000


@pytest.mark.slow
def test_an_interrupted_installation_does_not_start_and_is_repeated(pico, fieldelm):
    emulator = pico(plain=True)
    port = emulator.address()
    with Device(port) as device:
        device.put({"main.py": b"import machine\n# mine\n"})
    process = fieldelm("flash", "--natmod", "--board", "rpi_pico", "--port", port, start=True)
    for line in process.stderr:
        if "40 %" in line:
            process.kill()
            break
    with Device(port) as device:
        there = device.files()
        modules = len(list((environment.repository_root() / "device" / "fieldelm").rglob("*.py")))
        assert 5 < len([path for path in there if path.startswith("lib/fieldelm/")]) < modules - 10
        assert "main.py" not in there
        assert device.read("main.before_fieldelm.py") == b"import machine\n# mine\n"
    emulator.command("power_cut", operation=60)  # about in the middle of what is left
    cut = fieldelm("flash", "--natmod", "--board", "rpi_pico", "--port", port)
    assert cut.code == 1, cut
    assert emulator.wait_for(lambda event: event["event"] == "power_cut", 1)
    assert "Traceback" not in cut.err
    done = fieldelm("flash", "--natmod", "--board", "rpi_pico", "--port", port)
    assert done.code == 0, done
    with Device(port) as device:
        assert device.about.board == "rpi_pico"
        assert "main.py" in device.files()


@pytest.mark.slow
def test_firmware_goes_through_the_boot_loader_and_is_asked_for_its_build(pico, images, boot_rom, fieldelm, tmp_path):
    emulator = pico(plain=True)
    boot = boot_rom(emulator)
    uf2 = images()
    wrong = fieldelm("flash", "--firmware", uf2_file(tmp_path, "rp2350"), "--port", emulator.address())
    assert wrong.code == 2
    assert "is for the RP2350" in wrong.err
    result = fieldelm("flash", "--board", "rpi_pico", "--port", emulator.address(), "--volume", boot.drive())
    assert result.code == 0, result
    assert "runs build" in result.err
    with Device(emulator.address()) as device:
        assert (device.about.board, device.about.release is not None) == ("rpi_pico", True)
    natmod = fieldelm("flash", "--natmod", "--port", emulator.address())
    assert natmod.code == 2
    assert "Fieldelm's own" in natmod.err
    assert uf2.is_file()


@pytest.mark.slow
def test_files_are_verified_and_a_full_file_system_is_told(pico):
    emulator = pico(plain=True)
    with Device(emulator.address()) as device:
        data = os.urandom(5000)
        assert device.put({"a/b/c.bin": data, "empty": b""}) == ["a/b/c.bin", "empty"]
        assert device.put({"a/b/c.bin": data, "empty": b""}) == []
        assert (device.read("a/b/c.bin"), device.read("empty"), device.read("nothing")) == (data, b"", None)
        with pytest.raises(DeviceError, match="kB are needed: remove files there"):
            device.put({"big": bytes(2_000_000)})
        with pytest.raises(DeviceError, match="the board says ZeroDivisionError"):
            device.run("1/0")


@pytest.mark.slow
def test_a_pty_serves_as_well_as_a_socket(pico):
    emulator = pico(plain=True)
    master, slave = pty.openpty()
    tty.setraw(slave)
    link = socket.create_connection(("127.0.0.1", emulator.ports["node"]))

    def pump(read, write):
        try:
            while data := read(4096):
                write(data)
        except OSError:
            pass

    pumps = [
        threading.Thread(target=pump, args=(link.recv, lambda data: os.write(master, data)), daemon=True),
        threading.Thread(target=pump, args=(lambda size: os.read(master, size), link.sendall), daemon=True),
    ]
    for thread in pumps:
        thread.start()
    try:
        with Device(os.ttyname(slave)) as device:
            assert device.about.chip == "RP2040"
            data = bytes(range(256)) * 20
            assert device.put({"x": data}) == ["x"]
            assert device.read("x") == data
    finally:
        emulator.close()  # ends the one pump, and the closed master the other
        os.close(slave)
        os.close(master)
        link.close()
