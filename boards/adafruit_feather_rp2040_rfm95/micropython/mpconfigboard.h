// https://learn.adafruit.com/feather-rp2040-rfm95: 8 MiB of flash, of which the firmware has 1 MiB and the file system the rest
#define MICROPY_HW_BOARD_NAME "Adafruit Feather RP2040 RFM95"
#define MICROPY_HW_FLASH_STORAGE_BYTES (PICO_FLASH_SIZE_BYTES - 1024 * 1024)

// the header pins and the radio are on one bus, unlike on the Feather RP2040 without radio
#define MICROPY_HW_SPI1_SCK (14)
#define MICROPY_HW_SPI1_MOSI (15)
#define MICROPY_HW_SPI1_MISO (8)
