/* Inside of a check, for check*.c and backup.c only. */
#ifndef FM_STORAGE_CHECK_PARTS_H
#define FM_STORAGE_CHECK_PARTS_H

#include "storage/check.h"
#include "storage/internal.h"

struct check {
    struct fm_check_options options;
    struct fm_check_result result;
    struct fm_store *store; /* NULL: it cannot be opened, which is a finding. */
    struct fm_error err;    /* Of the part at hand. */
};

/* Open the store for reading; its folder stays locked until check_close(). Outcomes as of
 * fm_store_check(). */
FM_MUST_USE enum fm_status check_open(struct check *check, const struct fm_check_options *options,
                                      struct fm_error *err);
FM_MUST_USE enum fm_status check_content(struct check *check, struct fm_error *err);
void check_close(struct check *check); /* A zeroed check is fine. */

#define CHECK_RESTORE "restore the data folder from a backup (folkmoot restore)"

void check_report(struct check *check, enum fm_check_severity severity, const char *part,
                  const char *advice, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* What reading said, as damage. FM_NOMEM stays a failure; all else is FM_OK afterwards. */
FM_MUST_USE enum fm_status check_failed(struct check *check, enum fm_status status,
                                        const char *part);

/* check_table.c. */
FM_MUST_USE enum fm_status check_table(struct check *check, struct table_state *state,
                                       struct fm_error *err);

#endif
