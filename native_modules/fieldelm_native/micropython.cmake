# User C module for ports built with CMake: -DUSER_C_MODULES=<checkout>/native_modules/fieldelm_native/micropython.cmake
set(FIELDELM_CORE_DIR ${CMAKE_CURRENT_LIST_DIR}/../core)

add_library(usermod_fieldelm_native INTERFACE)
target_sources(usermod_fieldelm_native INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/fieldelm_native.c
    ${CMAKE_CURRENT_LIST_DIR}/fieldelm_fixed.c
    ${FIELDELM_CORE_DIR}/maths.c
    ${FIELDELM_CORE_DIR}/spectrum.c
    ${FIELDELM_CORE_DIR}/elm.c
    ${FIELDELM_CORE_DIR}/fixed_spectrum.c
    ${FIELDELM_CORE_DIR}/fixed_levels.c
    ${FIELDELM_CORE_DIR}/fixed_elm.c
    ${FIELDELM_CORE_DIR}/fixed_window.c
    ${FIELDELM_CORE_DIR}/armv6m_spectrum.S
    ${FIELDELM_CORE_DIR}/armv6m_elm.S
)
target_include_directories(usermod_fieldelm_native INTERFACE ${FIELDELM_CORE_DIR})
# The pico-sdk's linker script copies section .time_critical to RAM: FIELDELM_HOT_SECTION=".time_critical.fieldelm" puts the hot
# loops of the fixed-point kernels there, for 3 kB. They stay in flash as long as the node runs the float kernels.
target_link_libraries(usermod INTERFACE usermod_fieldelm_native)
