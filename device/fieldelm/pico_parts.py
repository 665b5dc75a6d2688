"""Radio, sensor and battery of a board, made from its description. Drivers that the board does not use are not imported.

Needed once: the board lets this module go when it has its parts.
"""

import machine
import time

from machine import ADC, Pin

from fieldelm.config import ConfigError

RADIO_HZ = 4000000  # SX127x up to 10 MHz, SX126x up to 16 MHz; ADXL345 up to 5 MHz
I2C_HZ = 400000
_NAMES = ("radio", "driver", "sensor")
_NUMBERS = ("range_g", "g_per_volt")


def check(config, description):
    """Whether the options in the configuration are known here and names or numbers, as they should be. Raises ConfigError."""
    for key, value in config["options"].items():
        if key in _NAMES:
            if not isinstance(value, str):
                raise ConfigError('options: "%s" must be a name in quotes' % key)
        elif key not in _NUMBERS:
            raise ConfigError('options: unknown key "%s"; known are %s' % (key, ", ".join(_NAMES + _NUMBERS)))
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1000:
            raise ConfigError('options: "%s" must be a number above 0 and below 1000' % key)


def _chosen(config, description, what):
    # the entry of "radios" or "sensors" that the configuration names, or the board's default
    table = description[what + "s"]
    name = config["options"].get(what, description["default"].get(what))
    if name not in table:
        names = sorted(table) + (["usb"] if what == "radio" else [])
        raise ConfigError("options: %s must be one of %s, not %s" % (what, ", ".join(names), name))
    return table[name]


def _output(number, value):
    return None if number is None else Pin(number, Pin.OUT, value=value)


def _input(number):
    return None if number is None else Pin(number, Pin.IN)


def _spi(pins, mode, buses):
    spi = machine.SPI(
        pins["id"],
        baudrate=RADIO_HZ,
        polarity=mode,
        phase=mode,
        sck=Pin(pins["sck"]),
        mosi=Pin(pins["mosi"]),
        miso=Pin(pins["miso"]),
    )
    buses.append((spi, mode, RADIO_HZ))
    return spi


def radio(config, description, buses, board):
    """The radio that the configuration or the board chooses; the chip is not touched. Raises ConfigError."""
    if config["options"].get("radio", description["default"].get("radio")) == "usb":
        import micropython

        from fieldelm.drivers.usb_line import Console, UsbLine
        from fieldelm.drivers.usb_radio import UsbRadio

        micropython.kbd_intr(-1)
        usb = UsbRadio(UsbLine(Console()), board.boot_cause)
        board.clock.service = usb.service
        return usb
    d = _chosen(config, description, "radio")
    chip = d["chip"]
    spi = _spi(d["spi"], 0, buses)
    cs = _output(d["cs"], 1)
    reset = _output(d.get("reset"), 1)
    if config["options"].get("driver") is not None:
        return _foreign(config["options"]["driver"], d, spi, cs, reset)
    if chip in ("sx1276", "sx1277", "sx1278", "sx1279"):
        from fieldelm.drivers.sx127x import SX127x

        modem = SX127x(spi, cs, _input(d.get("dio0")), reset=reset)
        modem.tx_ant = d.get("tx_ant", modem.tx_ant)
        return modem
    if chip not in ("sx1261", "sx1262"):
        raise ConfigError("radio chip %s is not known" % chip)
    if chip == "sx1261":
        from fieldelm.drivers import sx1261

        kind = sx1261.SX1261
    else:
        from fieldelm.drivers import sx126x

        kind = sx126x.SX1262
    return kind(
        spi,
        cs,
        _input(d["busy"]),
        dio1=_input(d.get("dio1")),
        dio2_rf_sw=d.get("dio2_rf_switch", True),
        dio3_tcxo_millivolts=d.get("tcxo_mv"),
        reset=reset,
        rxen=_output(d.get("rxen"), 0),
        txen=_output(d.get("txen"), 0),
        dcdc=d.get("dcdc", True),
    )


def _foreign(name, d, spi, cs, reset):
    # a driver that the user has brought
    if name != "lora":
        raise ConfigError('options: driver must be "lora" (MicroPython\'s package) or left out, not %s' % name)
    from fieldelm.drivers import lora_package

    pins = {"cs": cs, "reset": reset}
    if d["chip"].startswith("sx127"):
        pins["dio0"] = _input(d.get("dio0"))
    else:
        pins["busy"] = _input(d["busy"])
        pins["dio1"] = _input(d.get("dio1"))
        pins["dio2_rf_sw"] = d.get("dio2_rf_switch", True)
        pins["dio3_tcxo_millivolts"] = d.get("tcxo_mv")
        pins["ant_sw"] = lora_package.AntennaSwitch(_output(d.get("rxen"), 0), _output(d.get("txen"), 0))
    return lora_package.modem(d, spi, pins)


def sensor(config, description, buses):
    """The sensor that the configuration or the board chooses; the chip is not touched. Raises ConfigError."""
    options = config["options"]
    sense = config["sense"]
    if sense["kind"] != "waveform":
        raise ConfigError('sense: "kind" must be "waveform": this board\'s sensors give waveforms')
    d = _chosen(config, description, "sensor")
    rate = sense["rate_hz"]
    more = {}
    if "range_g" in options and d["chip"] != "analog":
        more["range_g"] = options["range_g"]
    try:
        if d["chip"] == "analog":
            from fieldelm.drivers.analog import AnalogInput

            return AnalogInput(ADC(Pin(d["pin"])), rate, options.get("g_per_volt", d.get("g_per_volt", 1.0)))
        interrupt = _input(d.get("int1"))
        if d["chip"] == "adxl345":
            from fieldelm.drivers.adxl345 import I2C_MAX_HZ, Adxl345

            return Adxl345(
                _registers(d, 0, buses), rate, interrupt=interrupt, max_hz=I2C_MAX_HZ if "i2c" in d else 3200, **more
            )
        from fieldelm.drivers.lis3dh import Lis3dh

        return Lis3dh(_registers(d, 0x80, buses), rate, interrupt=interrupt, **more)
    except ValueError as error:
        raise ConfigError("sense: %s" % error)


def _registers(d, several, buses):
    from fieldelm.drivers.registers import I2cRegisters, SpiRegisters

    if "i2c" in d:
        pins = d["i2c"]
        return I2cRegisters(_i2c(pins), d["address"], several, lambda: free_i2c(pins))
    return SpiRegisters(_spi(d["spi"], 1, buses), _output(d["cs"], 1))


def _i2c(pins):
    return machine.I2C(pins["id"], scl=Pin(pins["scl"]), sda=Pin(pins["sda"]), freq=I2C_HZ)


def free_i2c(pins):
    """Free a bus on which a chip may hold SDA low; True: try again. Raises OSError with a sentence if it goes on holding it.

    A reset of the board in the middle of a byte leaves the chip waiting for the rest: nine clocks, then STOP (UM10204 3.1.16).
    """
    scl = Pin(pins["scl"], Pin.OPEN_DRAIN, value=1)
    sda = Pin(pins["sda"], Pin.IN, Pin.PULL_UP)
    for _ in range(9):
        if sda():
            break
        scl(0)
        time.sleep_us(5)
        scl(1)
        time.sleep_us(5)
    freed = sda()
    if freed:
        sda = Pin(pins["sda"], Pin.OPEN_DRAIN, value=0)
        time.sleep_us(5)
        sda(1)
    _i2c(pins)  # the pins are the block's again
    if not freed:
        raise OSError("I2C: SDA (GPIO %d) is held low: check the sensor's power, wires and pull-ups" % pins["sda"])
    return True


def battery(description):
    """What ``drivers.voltage.millivolts`` takes to measure the battery, or None."""
    d = description.get("battery")
    if d is None:
        return None
    over, under = d["divides_by"]
    return ADC(Pin(d["pin"])), over, under
