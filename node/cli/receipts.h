/* What an answer showed, for people. */
#ifndef FM_NODE_CLI_RECEIPTS_H
#define FM_NODE_CLI_RECEIPTS_H

#include "include/folkmoot.h"
#include "node/cli/output.h"
#include "node/cli/replay.h"

/* One row per table read: owner, domain, rows, bytes, head. */
FM_MUST_USE enum fm_status fm_cli_receipts(FILE *stream, enum fm_output_format format,
                                           const struct folkmoot_answer *answer);
/* One line for each part that is missing or not whole; nothing for a complete answer. */
FM_MUST_USE enum fm_status fm_cli_missing(FILE *stream, const struct folkmoot_answer *answer);
/* Everything of an answer as one JSON object. */
FM_MUST_USE enum fm_status fm_cli_answer_json(FILE *stream, const struct folkmoot_answer *answer,
                                              const struct fm_replayed *replayed);

#endif
