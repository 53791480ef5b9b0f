/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a fuzz target on the files it is given: any C compiler does for that. */
#include "target.h"

static void replay(const char *path) {
    static uint8_t data[1 << 16];
    FILE *file = fopen(path, "rb");
    size_t size;
    uint8_t *input;

    REQUIRE(file, "%s cannot be opened", path);
    size = fread(data, 1, sizeof data, file);
    REQUIRE(!ferror(file) && feof(file), "%s cannot be read, or has more than %zu bytes", path, sizeof data);
    fclose(file);
    input = exactly(data, size);
    LLVMFuzzerTestOneInput(input, size);
    free(input);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        fprintf(stderr, "%s\n", argv[i]); /* the last one named is the one that failed */
        replay(argv[i]);
    }
    printf("%d inputs\n", argc - 1);
    return argc < 2;
}
