// https://www.waveshare.com/wiki/RP2040-LoRa: 2 MiB of flash, of which the firmware has 640 KiB and the file system the rest
#define MICROPY_HW_BOARD_NAME "Waveshare RP2040-LoRa"
#define MICROPY_HW_FLASH_STORAGE_BYTES (PICO_FLASH_SIZE_BYTES - 640 * 1024)

// the radio's bus
#define MICROPY_HW_SPI1_SCK (14)
#define MICROPY_HW_SPI1_MOSI (15)
#define MICROPY_HW_SPI1_MISO (24)
