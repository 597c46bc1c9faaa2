/* Shared by the two ends of RECORD_GET and RECORD_LIST. */
#ifndef FM_NODE_RPC_RECORDS_H
#define FM_NODE_RPC_RECORDS_H

#include "gossip/gossip.h"

#define FM_RECORDS_LISTED_MAX 1000u  /* Records of one reply; each takes about 90 bytes. */
#define FM_MEMBERS_PER_LIST_MAX 200u /* MEMBER envelopes of one reply; about 400 bytes each. */

/* Body of RECORD_GET. */
void fm_record_key_encode(struct fm_buf *out, const struct gossip_record_key *key);

#endif
