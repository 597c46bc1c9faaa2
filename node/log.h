/* Structured logs on stderr: one line an event, logfmt or JSON. Values are escaped, so that no
 * input can forge a line. Threads: any. */
#ifndef FM_NODE_LOG_H
#define FM_NODE_LOG_H

#include "node/config.h"

struct fm_log {
    enum fm_log_level level;
    enum fm_log_format format;
};

/* Alternating names and values (NULL ends): fm_log(log, FM_LOG_INFO, "listening", "address", a,
 * NULL). */
void fm_log(const struct fm_log *log, enum fm_log_level level, const char *event, ...)
    __attribute__((sentinel));

#endif
