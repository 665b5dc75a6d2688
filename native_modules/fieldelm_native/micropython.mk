# User C module for ports built with make: make USER_C_MODULES=<checkout>/native_modules
FIELDELM_NATIVE_DIR := $(USERMOD_DIR)
FIELDELM_CORE_DIR := $(dir $(FIELDELM_NATIVE_DIR))core

SRC_USERMOD_C += $(addprefix $(FIELDELM_NATIVE_DIR)/, fieldelm_native.c binding.c)
SRC_USERMOD_LIB_C += $(addprefix $(FIELDELM_CORE_DIR)/, fixed_spectrum.c fixed_levels.c fixed_model.c fixed_score.c fixed_explain.c fixed_learn.c fixed_window.c)
SRC_USERMOD_LIB_ASM += $(addprefix $(FIELDELM_CORE_DIR)/, armv6m_spectrum.S armv6m_elm.S armv7em_spectrum.S armv7em_elm.S)
CFLAGS_USERMOD += -I$(FIELDELM_CORE_DIR)
