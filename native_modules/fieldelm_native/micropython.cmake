# User C module for ports built with CMake: -DUSER_C_MODULES=<checkout>/native_modules/fieldelm_native/micropython.cmake
set(FIELDELM_CORE_DIR ${CMAKE_CURRENT_LIST_DIR}/../core)

add_library(usermod_fieldelm_native INTERFACE)
target_sources(usermod_fieldelm_native INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/fieldelm_native.c
    ${FIELDELM_CORE_DIR}/maths.c
    ${FIELDELM_CORE_DIR}/spectrum.c
    ${FIELDELM_CORE_DIR}/elm.c
)
target_include_directories(usermod_fieldelm_native INTERFACE ${FIELDELM_CORE_DIR})
target_link_libraries(usermod INTERFACE usermod_fieldelm_native)
