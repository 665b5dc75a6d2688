"""On MicroPython: what a node's link does with the simulated radio. The first argument says which."""

import json
import sys

import board

with open("config.json") as file:
    config = json.load(file)
node = board.open(config)
radio, clock = node.radio, node.clock
what = sys.argv[1]


def say(**values):
    values["now_ms"] = clock.now_ms()
    print(json.dumps(values))


if what == "exchange":
    clock.sleep_ms(1000)
    say(kind="sent", ticks_ms=radio.send(memoryview(b"uplink, with more behind it")[:6]))
    say(kind="airtime", us=radio.get_time_on_air_us(6))
    clock.sleep_ms(975)
    packet = radio.recv(120)
    say(
        kind="heard",
        text=bytes(packet).decode(),
        is_bytearray=isinstance(packet, bytearray),
        rssi=packet.rssi,
        snr=packet.snr,
        ticks_ms=packet.ticks_ms,
        valid_crc=packet.valid_crc,
        errors=radio.crc_errors,
    )
    say(kind="silence", packet=radio.recv(500))
elif what == "damaged":
    say(kind="heard", packet=radio.recv(3000), errors=radio.crc_errors)
    radio.rx_crc_error = True
    packet = radio.recv(3000)
    say(kind="heard", valid=packet.valid_crc, length=len(packet), errors=radio.crc_errors)
elif what == "reboot":
    say(kind="cause", cause=node.boot_cause)
    if node.boot_cause == 1:
        clock.sleep_ms(5000)
        node.reboot()
    say(kind="again", world_s=clock.world_s())
elif what == "battery":
    hours = [node.battery_mv()]
    for day in range(60):
        for _ in range(10):
            radio.send(b"0" * 19)
        clock.sleep_ms(86400000)
        hours.append(node.battery_mv())
    say(kind="battery", mv=hours, temperature_c=node.temperature_c())
elif what == "identify":
    node.identify(30)
elif what == "configure":
    radio.configure({"sf": 7, "bw": "250", "output_power": 2})
    say(kind="airtime", us=radio.get_time_on_air_us(19))
    try:
        radio.configure({"sf": 13})
    except ValueError as error:
        say(kind="error", text=str(error))
elif what == "for ever":
    while True:
        clock.sleep_ms(1000)
