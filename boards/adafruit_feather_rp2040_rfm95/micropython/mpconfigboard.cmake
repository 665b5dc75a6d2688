# Adafruit Feather RP2040 with RFM95 LoRa Radio, product 5714
set(PICO_BOARD "adafruit_feather_rp2040")
set(PICO_PLATFORM "rp2040")
