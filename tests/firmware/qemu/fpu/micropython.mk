# User C module without a module: switches the FPU on before anything uses it, which MicroPython's qemu port does not do
SRC_USERMOD_LIB_C += $(USERMOD_DIR)/fpu.c
