"""Chips on an emulated Pico's pins, as the board rpi_pico has them."""

SPI1 = {"sck": 10, "mosi": 11, "miso": 12}
SX1276 = {"name": "radio", "type": "sx1276", "spi": {**SPI1, "cs": 13}, "pins": {"reset": 14, "dio0": 15, "dio1": 16}}
SX1262 = {
    "name": "radio",
    "type": "sx1262",
    "spi": {**SPI1, "cs": 3},
    "pins": {"reset": 15, "busy": 2, "dio1": 20},
    "options": {"tcxo": True, "rfSwitch": "dio2"},
}
ADXL345_I2C = {"name": "sensor", "type": "adxl345", "i2c": {"sda": 4, "scl": 5}, "pins": {"int1": 8}}
ADXL345_SPI = {
    "name": "sensor",
    "type": "adxl345",
    "spi": {"sck": 6, "mosi": 7, "miso": 4, "cs": 5},
    "pins": {"int1": 8},
}
LIS3DH_SPI = {**ADXL345_SPI, "type": "lis3dh"}
