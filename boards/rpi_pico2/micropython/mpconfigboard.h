// Raspberry Pi Pico 2: 4 MiB of flash, of which the firmware has 1 MiB and the file system the rest
#define MICROPY_HW_BOARD_NAME "Raspberry Pi Pico2"
#define MICROPY_HW_FLASH_STORAGE_BYTES (PICO_FLASH_SIZE_BYTES - 1024 * 1024)
