// Writes fieldelm_tables.h for SAMPLES samples: cc make_tables.c ../core/fixed_spectrum.c -I../core && ./a.out > fieldelm_tables.h
// `fieldelm build firmware` does, and gives the header's folder to micropython.cmake as FIELDELM_TABLES.
#include <stdio.h>

#include "fixed.h"

#define SAMPLES 1024

static int32_t table[2 * SAMPLES];
static uint16_t window[SAMPLES];

int main(void) {
    size_t words = fieldelm_fixed_table_words(SAMPLES);
    fieldelm_fixed_tables(table, SAMPLES, window, SAMPLES);
    printf("static const int32_t TABLE[] = {\n");
    for (size_t i = 0; i < words; ++i) {
        printf("%ld,\n", (long)table[i]);
    }
    printf("};\nstatic const uint16_t WINDOW[] = {\n");
    for (size_t i = 0; i < SAMPLES; ++i) {
        printf("%u,\n", (unsigned)window[i]);
    }
    printf("};\n");
    return 0;
}
