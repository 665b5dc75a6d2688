# The kernels as user C module, as in the firmware
USERMOD_DIR := $(realpath $(USERMOD_DIR)/../../../../native_modules/fieldelm_native)
include $(USERMOD_DIR)/micropython.mk
