/* What the charter and both kinds of certificate check alike. Private to core. */
#ifndef FM_CORE_CERT_COMMON_H
#define FM_CORE_CERT_COMMON_H

#include "core/cert.h"

/* Seconds; about the year 36800. Below it, sums of times and skews cannot overflow. */
#define FM_CERT_TIME_MAX (INT64_C(1) << 40)

/* 1..FM_NAME_MAX bytes of UTF-8 without control characters: safe to print. */
bool fm_cert_name_valid(const char *name);

/* True when at least `threshold` distinct keys of the charter are among `keys`, and no other. */
bool fm_cert_keys_suffice(const struct fm_charter *charter, struct fm_key *const *keys,
                          size_t key_count);

/* FM_INVALID: not times. FM_REFUSED: longer than `life_max` seconds. */
FM_MUST_USE enum fm_status fm_cert_check_life(int64_t not_before, int64_t not_after,
                                              uint64_t life_max, struct fm_error *err);

/* Check the signers and seal. */
FM_MUST_USE enum fm_status fm_cert_seal_body(const struct fm_charter *charter,
                                             enum fm_envelope_type type, const struct fm_buf *body,
                                             struct fm_key *const *keys, size_t key_count,
                                             struct fm_buf *out, struct fm_error *err);

/* Open an envelope of `type` and verify that the authority signed it; gives its body. */
FM_MUST_USE enum fm_status fm_cert_open_body(const struct fm_charter *charter,
                                             enum fm_envelope_type type, struct fm_span bytes,
                                             struct fm_span *body, struct fm_error *err);

#endif
