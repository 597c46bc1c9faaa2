#include "query/engine_internal.h"
enum fm_status fm_ingest_open(struct fm_worker *worker, const struct fm_ingest_options *options, struct fm_error *err){(void)worker;(void)options;return fm_fail(err,FM_UNSUPPORTED,"ingest");}
enum fm_status fm_ingest_next(struct fm_worker *worker, struct fm_buf *batch, struct fm_error *err){(void)worker;(void)batch;return fm_fail(err,FM_UNSUPPORTED,"ingest");}
uint64_t fm_ingest_rows(const struct fm_worker *worker){return worker->file_rows;}
