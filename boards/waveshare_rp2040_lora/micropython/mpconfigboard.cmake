# Waveshare RP2040-LoRa: the SDK has no definition of it; UART, I2C, LED and flash are as on the Pico
set(PICO_BOARD "pico")
set(PICO_PLATFORM "rp2040")
