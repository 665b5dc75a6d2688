"""Drivers for the chips on a board: LoRa radios, accelerometers, analogue inputs, the USB cable as a radio.

They take bus and pin objects (``machine.SPI``, ``machine.I2C``, ``machine.Pin``, ``machine.ADC``, or what behaves like them) and
know nothing of boards and configuration files: fieldelm.pico_board reads the board's description and puts them together.
"""
