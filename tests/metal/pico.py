"""A Pico on copper that starts as a real one does: the board's module, the chips of the drivers' tests, and what it says."""

import json
import sys

_TESTS = __file__.rsplit("/", 2)[0]
sys.path += [_TESTS + "/drivers", _TESTS + "/node"]

from accelerometer_chips import Adxl345Chip  # noqa: E402
from bench import EUI, KEY, Gateway  # noqa: E402
from copper import Time  # noqa: E402
from machine_copper import install  # noqa: E402
from sx1276_chip import Sx1276  # noqa: E402

USB = 0x50110000
MODULES = (
    "fieldelm.pico_board",
    "fieldelm.drivers.lora_modem",
    "fieldelm.drivers.sx127x",
    "fieldelm.drivers.accelerometer",
)

time = Time()
machine = install(time)


def description():
    """The module `board` of a Pico in short."""
    return {
        "name": "rpi_pico",
        "chip": "rp2040",
        "led": {"pin": 25},
        "safe_mode": {"pin": 22},
        "battery": {"pin": 29, "divides_by": [3, 1]},
        "radios": {
            "sx1276": {
                "chip": "sx1276",
                "spi": {"id": 1, "sck": 10, "mosi": 11, "miso": 12},
                "cs": 13,
                "reset": 14,
                "dio0": 15,
            }
        },
        "sensors": {
            "adxl345_spi": {"chip": "adxl345", "spi": {"id": 0, "sck": 6, "mosi": 7, "miso": 4}, "cs": 5, "int1": 8}
        },
        "default": {"radio": "sx1276", "sensor": "adxl345_spi"},
    }


class Module:
    """Takes the place of the generated module `board`."""

    description = staticmethod(description)


class Forgetful:
    """A log for tests that last for hours."""

    def append(self, entry):
        pass


class Pico:
    """``radio`` and ``sensor`` are the chips; ``said`` is what the console heard, ``flashes`` how often the LED went on."""

    def __init__(self, config=None):
        from fieldelm import boot

        for name in MODULES:
            __import__(name)
        time.install(*MODULES)
        self.boot = boot
        self.said = []
        boot.say = lambda text: self.said.append(str(text))
        self.radio = Sx1276(time, machine.wire(13), machine.wire(14), machine.wire(15))
        self.sensor = Adxl345Chip(time, machine.wire(5), machine.wire(8))
        machine.spi(1).chips[:] = [self.radio]
        machine.spi(0).chips[:] = [self.sensor]
        machine.analog[machine.wire(29)] = int(1.3 / 3.3 * 65535)
        machine.analog[4] = int(0.706 / 3.3 * 65535)
        machine.log = Forgetful()
        self.gateway = Gateway()
        self.flashes = 0
        machine.wire(25).watchers[:] = [self._led]
        if config is not False:
            with open("config.json", "w") as file:
                json.dump(config or self.config(), file)

    @staticmethod
    def config():
        config = {"schema": 1, "board": "rpi_pico", "eui": EUI, "node_id": 7, "keys": {"0": KEY}, "console": "off"}
        config["sense"] = {"samples": 64, "bands": 8, "period_s": 60}
        config["learn"] = {"hidden": 4, "train_rows": 8, "calibration_rows": 8}
        return config

    def start(self):
        """Power on. Returns "REPL" or "reset"."""
        import main

        time.advance(1000000)
        machine.fed_us = machine.hungry_us = 0
        try:
            self.boot.run(Module, "config.json", main.open_board)
        except SystemExit:
            return "reset"
        finally:
            assert machine.hungry_us < 8000000, "the watchdog would have bitten"
        return "REPL"

    def app(self, body):
        """Run this instead of the node: ``body(board)``, again and again."""

        class App:
            def __init__(self, board):
                self.board = board

            def cycle(self):
                body(self.board)

        self.boot._app = lambda settings, board: App(board)

    def _led(self, level):
        self.flashes += level

    def heard(self):
        """What the gateway has received so far: (type, payload)."""
        for _, _, frame, _ in self.radio.sent[len(self.gateway.heard) :]:
            self.gateway.hear(frame)
        return [(kind, payload) for kind, _, payload, _ in self.gateway.heard]
