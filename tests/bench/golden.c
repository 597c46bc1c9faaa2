/* Write a golden store (tests/support/golden_store.h), for scripts/golden:   golden DIR LINES */
#include "tests/support/golden_store.h"

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fputs("usage: golden DIR LINES\n", stderr);
        return 64;
    }
    FILE *lines = fopen(argv[2], "w");
    if (lines == NULL) {
        perror(argv[2]);
        return 1;
    }
    golden_make(argv[1], lines);
    if (fclose(lines) != 0) {
        perror(argv[2]);
        return 1;
    }
    return 0;
}
