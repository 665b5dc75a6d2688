// Raspberry Pi Pico: 2 MiB of flash, of which the firmware has 640 KiB and the file system the rest
#define MICROPY_HW_BOARD_NAME "Raspberry Pi Pico"
#define MICROPY_HW_FLASH_STORAGE_BYTES (PICO_FLASH_SIZE_BYTES - 640 * 1024)
