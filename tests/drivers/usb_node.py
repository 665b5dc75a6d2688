"""Run by MicroPython on a pty: sends frames over the UsbRadio and writes what came back to the file named by the argument."""

import sys
import time

from fieldelm.drivers.usb_line import Console, UsbLine
from fieldelm.drivers.usb_radio import UsbRadio

radio = UsbRadio(UsbLine(Console()), 1)
radio.configure({"sf": 9, "bw": "125", "freq_khz": 868100, "invert_iq_rx": True})
lines = []
try:
    while not radio._configured:  # what is said before the gateway has opened its port nobody counts
        radio.service()
        time.sleep_ms(5)
    for i in range(3):
        print("the console says something")
        time.sleep_ms(300)
        radio.service()
        radio.send(bytes([i, 0, 3, 3, 13, 3, 255]))
        answer = radio.recv(2000)
        lines.append("None" if answer is None else bytes(answer).hex())
    while True:
        radio.service()
        time.sleep_ms(5)
except KeyboardInterrupt:
    lines.append("KeyboardInterrupt")
with open(sys.argv[1], "w") as file:
    file.write("\n".join(lines))
