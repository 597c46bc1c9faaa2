#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ENTRIES_MAX 256u

struct entry {
    char *name;
    char *text;
};

struct vector_file {
    struct entry entries[ENTRIES_MAX];
    size_t count;
};

static void add_line(struct vector_file *file, char *line)
{
    char *end = strchr(line, '\n');
    char *space = strchr(line, ' ');

    if (end != NULL)
        *end = '\0';
    if (line[0] == '#' || line[0] == '\0')
        return;
    assert_non_null(space);
    assert_true(file->count < ENTRIES_MAX);
    *space = '\0';
    file->entries[file->count].name = strdup(line);
    file->entries[file->count].text = strdup(space + 1);
    file->count++;
}

struct vector_file *vector_file_open(const char *name)
{
    char path[4096];
    struct vector_file *file = calloc(1, sizeof *file);
    char *line = NULL;
    size_t cap = 0;

    assert_non_null(file);
    (void)snprintf(path, sizeof path, "%s/tests/vectors/%s", FM_SOURCE_DIR, name);
    FILE *in = fopen(path, "r");
    if (in == NULL)
        fail_msg("cannot read %s", path);
    while (getline(&line, &cap, in) >= 0)
        add_line(file, line);
    free(line);
    (void)fclose(in); /* Only read from. */
    return file;
}

void vector_file_free(struct vector_file *file)
{
    if (file == NULL)
        return;
    for (size_t i = 0; i < file->count; i++) {
        free(file->entries[i].name);
        free(file->entries[i].text);
    }
    free(file);
}

const char *vector_text(const struct vector_file *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++) {
        if (strcmp(file->entries[i].name, name) == 0)
            return file->entries[i].text;
    }
    fail_msg("no vector '%s'", name);
    return NULL;
}

void vector_bytes(const struct vector_file *file, const char *name, struct fm_buf *out)
{
    const char *text = vector_text(file, name);
    size_t len = strlen(text) / 2;

    fm_buf_clear(out);
    uint8_t *at = fm_buf_extend(out, len);
    assert_non_null(at);
    assert_int_equal(fm_unhex(text, at, len), FM_OK);
}

void vector_check(const struct vector_file *file, const char *name, struct fm_span bytes)
{
    char *hex = malloc(2 * bytes.len + 1);

    assert_non_null(hex);
    fm_hex(bytes.data, bytes.len, hex);
    if (getenv("FM_PRINT_VECTORS") != NULL)
        printf("%s %s\n", name, hex);
    else
        assert_string_equal(hex, vector_text(file, name));
    free(hex);
}
