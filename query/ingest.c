#include "query/engine_internal.h"

#include "core/assert.h"
#include "core/history.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static enum fm_status check_file(int fd, struct fm_error *err)
{
    struct stat stat;

    if (fstat(fd, &stat) != 0)
        return fm_fail_errno(err, FM_IO, errno, "look at the file");
    if (!S_ISREG(stat.st_mode))
        return fm_fail(err, FM_INVALID, "not a regular file");
    if (stat.st_size == 0)
        return fm_fail(err, FM_INVALID, "the file is empty");
    return FM_OK;
}

/* A descriptor with an offset of its own. Where the file cannot be opened again (its permissions
 * changed) the caller's serves, if it is for reading only. */
static enum fm_status own_descriptor(int fd, int *out, struct fm_error *err)
{
    enum fm_status status = reopen_read_only(fd, out, err);
    if (status == FM_OK)
        return FM_OK;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) != O_RDONLY || lseek(fd, 0, SEEK_SET) != 0)
        return status;
    *out = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return *out < 0 ? status : FM_OK;
}

/* Batches must be of the schema's types. */
static enum fm_status expect_fields(struct fm_worker *worker, const struct fm_schema *table,
                                    uint32_t extras, struct fm_error *err)
{
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};
    FM_AUTO(fm_schema_freep) struct fm_schema *schema = NULL;
    enum fm_status status = fm_schema_with_extras(table, extras, &schema, err);

    if (status != FM_OK)
        return status;
    columns.items = calloc(schema->field_count, sizeof *columns.items);
    if (columns.items == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < schema->field_count && status == FM_OK; i++) {
        status = fm_type_copy(&schema->fields[i].type, &columns.items[i].type);
        if (status == FM_OK)
            columns.count = i + 1;
    }
    return status == FM_OK ? worker_expect(worker, &columns) : status;
}

enum fm_status fm_ingest_open(struct fm_worker *worker, const struct fm_ingest_options *options,
                              struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf schema = FM_BUF_INIT(0);
    FM_AUTO(close_fd) int fd = -1;

    enum fm_status status = worker_check_idle(worker, err);
    if (status == FM_OK)
        status = check_file(options->fd, err);
    if (status == FM_OK)
        status = own_descriptor(options->fd, &fd, err);
    if (status != FM_OK)
        return status;
    worker->is_spoiled = true; /* It is locked in for this file. */
    fm_schema_encode(&schema, options->schema);
    status = fm_buf_status(&schema);
    if (status == FM_OK)
        status = worker_command(worker, CHANNEL_INGEST, (uint32_t)options->format,
                                fm_buf_span(&schema), fd, err);
    if (status == FM_OK)
        status = worker_answer(worker, err);
    if (status != FM_OK)
        return status;
    if (worker->control.frame.kind != CHANNEL_DONE || worker->control.payload.len != 8)
        return worker_broken(worker, "an answer", err);
    if ((worker->control.frame.number & ~FM_EXTRA_ALL) != 0)
        return worker_broken(worker, "columns that are known", err);
    worker->file_rows = fm_load64(worker->control.payload.data);
    status = expect_fields(worker, options->schema, worker->control.frame.number, err);
    if (status != FM_OK)
        return status;
    worker->rows_max = 0;
    worker->state = WORKER_STREAMING;
    return FM_OK;
}

enum fm_status fm_ingest_next(struct fm_worker *worker, struct fm_buf *batch, struct fm_error *err)
{
    fm_assert(batch->len == 0);
    return worker_take_batch(worker, batch, err);
}

uint64_t fm_ingest_rows(const struct fm_worker *worker)
{
    return worker->file_rows;
}
