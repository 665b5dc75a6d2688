"""fieldelm.config: defaults, and errors that name the key and the mend but never a secret."""

import json

from fieldelm import config

_SECRET = "00112233445566778899aabbccddeeff"


def _good():
    return {"schema": 1, "board": "sim", "eui": "0200000000000001", "node_id": 7, "keys": {"0": _SECRET}}


def _fails(change, *words):
    given = _good()
    change(given)
    try:
        config.check(given, "config.json")
    except config.ConfigError as error:
        text = str(error)
        for word in ("config.json",) + words:
            assert word in text, (word, text)
        assert _SECRET not in text
        assert "\n" not in text
        return
    raise AssertionError("accepted: %s" % json.dumps(given))


def _put(*path_and_value):
    def change(given):
        for key in path_and_value[:-2]:
            given = given.setdefault(key, {})
        given[path_and_value[-2]] = path_and_value[-1]

    return change


def test_defaults_are_filled_in():
    filled = config.check(_good())
    assert filled["role"] == "node"
    assert filled["radio"]["sf"] == 9
    assert filled["learn"]["hidden"] == 22
    assert filled["link"]["gateways"] == [1, 2, 3, 4]


def test_wrong_values_name_the_key():
    _fails(_put("surprise", 1), "surprise", "known are")
    _fails(_put("radio", "spreading", 7), "radio", "spreading")
    _fails(_put("radio", "sf", 13), "radio", '"sf"', "7", "12")
    _fails(_put("radio", "sf", "9"), '"sf"')
    _fails(_put("radio", "sf", True), '"sf"')
    _fails(_put("radio", 5), "radio", "object")
    _fails(_put("node_id", 0), "node_id")
    _fails(_put("eui", "xyz"), "eui", "16 hex digits")
    _fails(_put("eui", "zz00000000000001"), "eui")
    _fails(_put("schema", 2), "schema")
    _fails(_put("sense", "period_s", float("nan")), "period_s")
    _fails(_put("learn", "policy", "perhaps"), "auto", "ask", "never")
    _fails(_put("link", "gateways", []), "gateways")
    _fails(_put("link", "gateways", [0]), "gateways")
    _fails(_put("key_id", 1), "key_id")
    _fails(lambda given: given.pop("board"), "board", "missing")


def test_keys_are_checked_but_never_shown():
    _fails(_put("keys", {}), "keys")
    _fails(_put("keys", {"0": _SECRET + "00"}), "keys")
    _fails(_put("keys", {"2": _SECRET}), "keys")
    _fails(_put("keys", _SECRET), "keys")


def test_a_modem_has_neither_keys_nor_a_channel_of_its_own():
    filled = config.check({"schema": 1, "role": "modem", "board": "rpi_pico"})
    assert filled["role"] == "modem" and filled["radio"]["sf"] == 9 and "keys" not in filled
    for key, value in (("keys", {"0": _SECRET}), ("radio", {"sf": 7}), ("eui", "0200000000000001")):
        try:
            config.check({"schema": 1, "role": "modem", "board": "rpi_pico", key: value}, "config.json")
        except config.ConfigError as error:
            assert "modem" in str(error) and key in str(error) and _SECRET not in str(error)
        else:
            raise AssertionError(key)
    _fails(_put("role", "gateway"), "role", "node", "modem")


def test_contradicting_bands():
    def change(given):
        given["sense"] = {"band_low_hz": 100, "band_high_hz": 50}

    _fails(change, "band_high_hz", "band_low_hz")


def test_numbers_that_contradict_each_other():
    for section, sense, learn in (
        ("rate_hz", {"rate_hz": 100, "band_low_hz": 50}, {}),
        ("lags", {"lags": 2}, {}),
        ("train_rows", {"kind": "features", "inputs": 3}, {"train_rows": 19}),
        ("inputs", {"kind": "features", "inputs": 64, "lags": 4}, {}),
    ):

        def change(given):
            given["sense"], given["learn"] = sense, learn

        _fails(change, section)
    given = _good()
    given["sense"] = {"kind": "features", "inputs": 3, "lags": 4}
    assert config.check(given)["sense"]["lags"] == 4


def test_files_that_cannot_be_read():
    broken = {"broken.json": "{", "list.json": "[]", "empty.json": "", "deep.json": "[" * 100000, "absent.json": None}
    for name, content in broken.items():
        if content is not None:
            with open(name, "w") as file:
                file.write(content)
        try:
            config.load(name)
        except config.ConfigError as error:
            assert name in str(error)
        else:
            raise AssertionError(name)


def test_the_plans_power_and_frames_that_never_fit_their_share_of_the_hour():
    for radio, words in (
        ({"output_power": 15}, ("output_power", "at most 14", "868.1 MHz")),
        ({"freq_khz": 864000, "sf": 12}, ("STATUS", "1800 ms of it an hour", '"sf"')),
        ({"freq_khz": 864000, "sf": 11, "bw": "62.5"}, ("ms of it an hour", '"sf"')),
        ({"sf": 12, "preamble_len": 1000}, ("ms of it an hour", '"preamble_len"')),
        ({"plan": "US915", "freq_khz": 915000, "bw": "500", "output_power": 22}, None),
        ({"freq_khz": 869525, "output_power": 22}, None),
        ({"freq_khz": 869525, "sf": 12}, None),
        ({"sf": 12}, None),
        ({"plan": "none", "output_power": 22, "sf": 12, "preamble_len": 1000}, None),
    ):

        def change(given):
            given["radio"] = radio

        if words:
            _fails(change, *words)
        else:
            given = _good()
            change(given)
            config.check(given)
