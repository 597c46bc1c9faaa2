/* A schema's document: what is accepted passes the check, and its encoding reads back as itself. */
#include "core/schema.h"

#include "core/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_schema *schema = NULL, *again = NULL, *copy = NULL;
    struct fm_error err = {0};
    struct fm_buf first = {0}, second = {0};
    uint32_t found;

    if (fm_schema_decode(fm_span(data, size), &schema, &err) != FM_OK) {
        fm_assert(err.text[0] != '\0');
        return 0;
    }
    fm_assert(fm_schema_check(schema, NULL) == FM_OK);
    for (uint32_t i = 0; i < schema->field_count; i++) {
        struct fm_span name = fm_span_str(schema->fields[i].name);
        fm_assert(fm_schema_find(schema, name, &found) == FM_OK && found == i);
    }
    fm_schema_encode(&first, schema);
    fm_assert(fm_schema_decode(fm_buf_span(&first), &again, NULL) == FM_OK);
    fm_assert(fm_schema_copy(again, &copy) == FM_OK);
    fm_schema_encode(&second, copy);
    fm_assert(fm_span_equal(fm_buf_span(&first), fm_buf_span(&second)));
    fm_schema_free(schema);
    fm_schema_free(again);
    fm_schema_free(copy);
    fm_buf_free(&first);
    fm_buf_free(&second);
    return 0;
}
