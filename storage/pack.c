#include "storage/pack.h"

#include "core/assert.h"
#include "core/bits.h"
#include "core/limits.h"

#define HEADER_BYTES 24u /* width, form, bits, 0, u32 count, u64 first, u64 base */
#define STEPS_SEEN 64u   /* Differences looked at, */
#define STEPS_FEW 8u     /* at most so many of which are different. */

_Static_assert(FM_BLOCK_ROWS <= 65536, "the length of a run takes two bytes");

bool pack_width_good(uint32_t width)
{
    return width == 1 || width == 2 || width == 4 || width == 8;
}

static uint64_t number_at(const uint8_t *numbers, uint8_t width, uint32_t i)
{
    switch (width) {
    case 1:
        return numbers[i];
    case 2:
        return fm_load16(numbers + (size_t)i * 2);
    case 4:
        return fm_load32(numbers + (size_t)i * 4);
    default:
        return fm_load64(numbers + (size_t)i * 8);
    }
}

static void put_number(uint8_t *numbers, uint8_t width, uint32_t i, uint64_t value)
{
    switch (width) {
    case 1:
        numbers[i] = (uint8_t)value;
        break;
    case 2:
        fm_store16(numbers + (size_t)i * 2, (uint16_t)value);
        break;
    case 4:
        fm_store32(numbers + (size_t)i * 4, (uint32_t)value);
        break;
    default:
        fm_store64(numbers + (size_t)i * 8, value);
        break;
    }
}

static uint8_t bits_for(uint64_t range)
{
    return range == 0 ? 0 : (uint8_t)(64 - __builtin_clzll(range));
}

static uint64_t packed_bytes(uint64_t count, uint8_t bits)
{
    return (count * bits + 63) / 64 * 8;
}

static uint64_t lengths_bytes(uint64_t runs)
{
    return (runs * 2 + 7) / 8 * 8;
}

/* ---- Which form ------------------------------------------------------------------------------ */

static bool steps_repeat(const uint8_t *numbers, uint32_t count, uint8_t width)
{
    uint64_t seen[STEPS_FEW];
    uint32_t kinds = 0;

    if (count <= STEPS_SEEN)
        return false;
    for (uint32_t i = 1; i <= STEPS_SEEN; i++) {
        uint64_t step = number_at(numbers, width, i) - number_at(numbers, width, i - 1);
        uint32_t at = 0;

        while (at < kinds && seen[at] != step)
            at++;
        if (at < kinds)
            continue;
        if (kinds == STEPS_FEW)
            return false;
        seen[kinds++] = step;
    }
    return true;
}

void pack_plan(const uint8_t *numbers, uint32_t count, uint8_t width, struct pack_plan *out)
{
    uint64_t first = number_at(numbers, width, 0), before = first;
    uint64_t low = first, high = first;
    int64_t low_step = INT64_MAX, high_step = INT64_MIN;
    uint32_t runs = 1;
    uint64_t bytes;
    uint8_t bits;

    fm_assert(count >= 1 && count <= 65536);
    fm_assert(pack_width_good(width));
    for (uint32_t i = 1; i < count; i++) {
        uint64_t value = number_at(numbers, width, i);
        int64_t step = (int64_t)(value - before);

        low = value < low ? value : low;
        high = value > high ? value : high;
        low_step = step < low_step ? step : low_step;
        high_step = step > high_step ? step : high_step;
        runs += step != 0;
        before = value;
    }
    bits = bits_for(high - low);
    *out = (struct pack_plan){.width = width,
                              .form = PACK_PLAIN,
                              .bits = bits,
                              .count = count,
                              .base = low,
                              .bytes = HEADER_BYTES + packed_bytes(count, bits),
                              .steps_repeat = steps_repeat(numbers, count, width)};
    bytes = HEADER_BYTES + lengths_bytes(runs) + packed_bytes(runs, bits);
    if (bytes < out->bytes) {
        out->form = PACK_RUNS;
        out->first = out->runs = runs;
        out->bytes = bytes;
    }
    if (count == 1)
        return;
    bits = bits_for((uint64_t)high_step - (uint64_t)low_step);
    bytes = HEADER_BYTES + packed_bytes(count - 1, bits);
    if (bytes < out->bytes) {
        out->form = PACK_DELTA;
        out->bits = bits;
        out->first = first;
        out->base = (uint64_t)low_step;
        out->bytes = bytes;
    }
}

/* ---- Packing --------------------------------------------------------------------------------- */

/* `value` has no bits above the lowest `bits`; the words are zeroed before. */
static void put_bits(uint8_t *words, uint64_t at, uint8_t bits, uint64_t value)
{
    uint8_t *word = words + at / 64 * 8;
    uint32_t shift = (uint32_t)(at % 64);

    if (bits == 0)
        return;
    fm_store64(word, fm_load64(word) | value << shift);
    if (shift + bits > 64)
        fm_store64(word + 8, fm_load64(word + 8) | value >> (64 - shift));
}

static void write_plain(const struct pack_plan *plan, const uint8_t *numbers, uint8_t *to)
{
    for (uint32_t i = 0; i < plan->count; i++)
        put_bits(to, (uint64_t)i * plan->bits, plan->bits,
                 number_at(numbers, plan->width, i) - plan->base);
}

static void write_delta(const struct pack_plan *plan, const uint8_t *numbers, uint8_t *to)
{
    uint64_t before = plan->first;

    for (uint32_t i = 1; i < plan->count; i++) {
        uint64_t value = number_at(numbers, plan->width, i);

        put_bits(to, (uint64_t)(i - 1) * plan->bits, plan->bits, value - before - plan->base);
        before = value;
    }
}

static void write_runs(const struct pack_plan *plan, const uint8_t *numbers, uint8_t *to)
{
    uint8_t *words = to + lengths_bytes(plan->runs);
    uint32_t run = 0;

    for (uint32_t i = 0; i < plan->count; run++) {
        uint64_t value = number_at(numbers, plan->width, i);
        uint32_t end = i + 1;

        while (end < plan->count && number_at(numbers, plan->width, end) == value)
            end++;
        fm_store16(to + (size_t)run * 2, (uint16_t)(end - i - 1));
        put_bits(words, (uint64_t)run * plan->bits, plan->bits, value - plan->base);
        i = end;
    }
    fm_assert(run == plan->runs);
}

void pack_write(const struct pack_plan *plan, struct fm_span front, const uint8_t *numbers,
                struct fm_buf *out)
{
    size_t bytes = (size_t)plan->bytes - HEADER_BYTES;
    uint8_t *to;

    fm_buf_put_u8(out, plan->width);
    fm_buf_put_u8(out, plan->form);
    fm_buf_put_u8(out, plan->bits);
    fm_buf_put_u8(out, 0);
    fm_buf_put_u32(out, plan->count);
    fm_buf_put_u64(out, plan->first);
    fm_buf_put_u64(out, plan->base);
    fm_buf_put_span(out, front);
    to = fm_buf_extend(out, bytes);
    if (to == NULL || bytes == 0)
        return; /* fm_buf_status() tells. */
    memset(to, 0, bytes);
    if (plan->form == PACK_DELTA)
        write_delta(plan, numbers, to);
    else if (plan->form == PACK_RUNS)
        write_runs(plan, numbers, to);
    else
        write_plain(plan, numbers, to);
}

/* ---- Unpacking ------------------------------------------------------------------------------- */

static uint64_t take_bits(const uint8_t *words, uint64_t at, uint8_t bits)
{
    return bits == 0 ? 0 : fm_bits_load(words, (size_t)at, bits);
}

static void read_plain(const struct pack_plan *plan, const uint8_t *from, uint8_t *out)
{
    for (uint32_t i = 0; i < plan->count; i++)
        put_number(out, plan->width, i,
                   plan->base + take_bits(from, (uint64_t)i * plan->bits, plan->bits));
}

static void read_delta(const struct pack_plan *plan, const uint8_t *from, uint8_t *out)
{
    uint64_t value = plan->first;

    put_number(out, plan->width, 0, value);
    for (uint32_t i = 1; i < plan->count; i++) {
        value += plan->base + take_bits(from, (uint64_t)(i - 1) * plan->bits, plan->bits);
        put_number(out, plan->width, i, value);
    }
}

static enum fm_status read_runs(const struct pack_plan *plan, const uint8_t *from, uint8_t *out)
{
    const uint8_t *words = from + lengths_bytes(plan->runs);
    uint32_t row = 0;

    for (uint32_t run = 0; run < plan->runs; run++) {
        uint32_t length = fm_load16(from + (size_t)run * 2) + 1u;
        uint64_t value = plan->base + take_bits(words, (uint64_t)run * plan->bits, plan->bits);

        if (length > plan->count - row)
            return FM_CORRUPT;
        for (uint32_t end = row + length; row < end; row++)
            put_number(out, plan->width, row, value);
    }
    return row == plan->count ? FM_OK : FM_CORRUPT;
}

/* `*bytes`: of the packed numbers, as the header has it. */
static enum fm_status read_header(struct fm_span stored, size_t raw_bytes, struct pack_plan *out,
                                  uint64_t *bytes)
{
    const uint8_t *from = stored.data;

    if (stored.len < HEADER_BYTES)
        return FM_CORRUPT;
    *out = (struct pack_plan){.width = from[0],
                              .form = from[1],
                              .bits = from[2],
                              .count = fm_load32(from + 4),
                              .first = fm_load64(from + 8),
                              .base = fm_load64(from + 16)};
    if (!pack_width_good(out->width) || out->form > PACK_RUNS || out->bits > 64 || from[3] != 0 ||
        out->count == 0 || out->count > FM_BLOCK_ROWS ||
        (size_t)out->count * out->width > raw_bytes)
        return FM_CORRUPT;
    if (out->form == PACK_RUNS && (out->first == 0 || out->first > out->count))
        return FM_CORRUPT;
    if (out->form == PACK_PLAIN && out->first != 0)
        return FM_CORRUPT;
    out->runs = out->form == PACK_RUNS ? (uint32_t)out->first : 0;
    if (out->form == PACK_RUNS)
        *bytes = lengths_bytes(out->runs) + packed_bytes(out->runs, out->bits);
    else
        *bytes = packed_bytes(out->count - (out->form == PACK_DELTA), out->bits);
    return FM_OK;
}

enum fm_status pack_read(struct fm_span stored, uint8_t *out, size_t raw_bytes)
{
    struct pack_plan plan;
    uint64_t bytes = 0;
    enum fm_status status = read_header(stored, raw_bytes, &plan, &bytes);
    const uint8_t *from;
    size_t front;

    if (status != FM_OK)
        return status;
    front = raw_bytes - (size_t)plan.count * plan.width;
    if (front > stored.len - HEADER_BYTES || stored.len - HEADER_BYTES - front != bytes)
        return FM_CORRUPT;
    if (front > 0)
        memcpy(out, stored.data + HEADER_BYTES, front);
    from = stored.data + HEADER_BYTES + front;
    if (plan.form == PACK_RUNS)
        return read_runs(&plan, from, out + front);
    if (plan.form == PACK_DELTA)
        read_delta(&plan, from, out + front);
    else
        read_plain(&plan, from, out + front);
    return FM_OK;
}

/* ---- Differences in place -------------------------------------------------------------------- */

void pack_differences(uint8_t *numbers, uint32_t count, uint8_t width)
{
    for (uint32_t i = count; i-- > 1;)
        put_number(numbers, width, i,
                   number_at(numbers, width, i) - number_at(numbers, width, i - 1));
}

void pack_sums(uint8_t *numbers, uint32_t count, uint8_t width)
{
    for (uint32_t i = 1; i < count; i++)
        put_number(numbers, width, i,
                   number_at(numbers, width, i) + number_at(numbers, width, i - 1));
}
