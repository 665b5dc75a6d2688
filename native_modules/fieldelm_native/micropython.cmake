# User C module for ports built with CMake: -DUSER_C_MODULES=<checkout>/native_modules/fieldelm_native/micropython.cmake
set(FIELDELM_CORE_DIR ${CMAKE_CURRENT_LIST_DIR}/../core)

add_library(usermod_fieldelm_native INTERFACE)
target_sources(usermod_fieldelm_native INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/fieldelm_native.c
    ${CMAKE_CURRENT_LIST_DIR}/binding.c
    ${FIELDELM_CORE_DIR}/fixed_spectrum.c
    ${FIELDELM_CORE_DIR}/fixed_levels.c
    ${FIELDELM_CORE_DIR}/fixed_model.c
    ${FIELDELM_CORE_DIR}/fixed_score.c
    ${FIELDELM_CORE_DIR}/fixed_explain.c
    ${FIELDELM_CORE_DIR}/fixed_learn.c
    ${FIELDELM_CORE_DIR}/fixed_window.c
    ${FIELDELM_CORE_DIR}/armv6m_spectrum.S
    ${FIELDELM_CORE_DIR}/armv6m_elm.S
    ${FIELDELM_CORE_DIR}/armv7em_spectrum.S
    ${FIELDELM_CORE_DIR}/armv7em_elm.S
)
# CMake sees no headers of assembly sources
set_property(SOURCE ${FIELDELM_CORE_DIR}/armv6m_spectrum.S ${FIELDELM_CORE_DIR}/armv6m_elm.S
    ${FIELDELM_CORE_DIR}/armv7em_spectrum.S ${FIELDELM_CORE_DIR}/armv7em_elm.S
    APPEND PROPERTY OBJECT_DEPENDS ${FIELDELM_CORE_DIR}/arm.h)
target_include_directories(usermod_fieldelm_native INTERFACE ${FIELDELM_CORE_DIR})
if(FIELDELM_TABLES) # folder of the header that make_tables.c writes: the tables of windows of 1,024 samples stay in flash
    target_include_directories(usermod_fieldelm_native INTERFACE ${FIELDELM_TABLES})
endif()
target_link_libraries(usermod INTERFACE usermod_fieldelm_native)
