/* Change one byte of a file, for the demo and the tests:   flip FILE OFFSET
 * An OFFSET past the end counts from the start again. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fputs("usage: flip FILE OFFSET\n", stderr);
        return 64;
    }
    FILE *file = fopen(argv[1], "r+b");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || ftell(file) <= 0) {
        perror(argv[1]);
        return 1;
    }
    long at = strtol(argv[2], NULL, 10) % ftell(file);
    int byte = fseek(file, at, SEEK_SET) == 0 ? getc(file) : EOF;
    if (byte == EOF || fseek(file, at, SEEK_SET) != 0 || putc(byte ^ 1, file) == EOF ||
        fclose(file) != 0) {
        perror(argv[1]);
        return 1;
    }
    return 0;
}
