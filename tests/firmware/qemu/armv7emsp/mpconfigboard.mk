# Firmware as on the RP2350: an FPU, but floats cross calls in integer registers (softfp), unlike in native modules
QEMU_ARCH = arm
QEMU_MACHINE = mps2-an386
CFLAGS += -mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=softfp
CFLAGS += -DQEMU_SOC_MPS2 -DMICROPY_HW_MCU_NAME='"Cortex-M4F, softfp"'
LDSCRIPT = mcu/arm/mps2.ld
LDFLAGS += -Wl,--wrap=mp_semihosting_init
SRC_BOARD_O = shared/runtime/gchelper_native.o shared/runtime/gchelper_thumb2.o
MPY_CROSS_FLAGS += -march=armv7emsp
