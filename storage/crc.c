#include "storage/crc.h"

/* Reflected polynomial 0x82f63b78, four bits at a time: the slow way, for processors without the
 * instruction. */
static const uint32_t crc_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t crc_plain(uint32_t crc, struct fm_span bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= bytes.data[i];
        crc = (crc >> 4) ^ crc_nibble[crc & 15];
        crc = (crc >> 4) ^ crc_nibble[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_fast(uint32_t crc, struct fm_span bytes)
{
    uint64_t wide = crc;
    size_t i = 0;

    for (; i + 8 <= bytes.len; i += 8)
        wide = __builtin_ia32_crc32di(wide, fm_load64(bytes.data + i));
    crc = (uint32_t)wide;
    for (; i < bytes.len; i++)
        crc = __builtin_ia32_crc32qi(crc, bytes.data[i]);
    return crc;
}
#endif

uint32_t crc_of(struct fm_span bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_fast(~0u, bytes);
#endif
    return ~crc_plain(~0u, bytes);
}
