/* CRC-32C (Castagnoli, as in RFC 3720): finds accidents in stored bytes. It is no protection
 * against an attacker; that is what the Merkle tree is for. With the processor's instruction where
 * there is one. */
#ifndef FM_STORAGE_CRC_H
#define FM_STORAGE_CRC_H

#include "core/bytes.h"

uint32_t crc_of(struct fm_span bytes);

#endif
