/* Small readers and writers shared by the records_*.c files only. */
#ifndef FM_CORE_RECORDS_COMMON_H
#define FM_CORE_RECORDS_COMMON_H

#include "core/reader.h"
#include "core/records.h"

static inline void fm_pack_key_span(struct fm_buf *out, unsigned key, struct fm_span span)
{
    fm_pack_key_bin(out, key, span.data, span.len);
}

static inline void fm_pack_key_hash(struct fm_buf *out, unsigned key, const struct fm_hash *hash)
{
    fm_pack_key_bin(out, key, hash->bytes, sizeof hash->bytes);
}

static inline void fm_pack_key_text(struct fm_buf *out, unsigned key, struct fm_span text)
{
    fm_pack_uint(out, key);
    fm_pack_str_span(out, text);
}

static inline void fm_read_hash(struct fm_reader *reader, unsigned key, struct fm_hash *out)
{
    fm_read_exact(reader, key, out->bytes, sizeof out->bytes);
}

/* True when `number` is a method; then `is_signed` says whether a principal signs its body. */
bool fm_method_known(uint32_t number, bool *is_signed);

#endif
