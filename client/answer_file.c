#include "client/answer_file.h"

#include "core/assert.h"
#include "core/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATH_BYTES 4096u

struct fm_answer_writer {
    FILE *file;
    char path[PATH_BYTES];
    char temporary[PATH_BYTES];
};

struct fm_answer_reader {
    FILE *file;
    char name[256];
    uint64_t batches; /* Read so far. */
    bool at_bundle;
};

/* ---- Writing ------------------------------------------------------------------------------- */

static enum fm_status put(struct fm_answer_writer *writer, struct fm_span bytes,
                          struct fm_error *err)
{
    uint8_t length[4];

    fm_store32(length, (uint32_t)bytes.len);
    if (fwrite(length, 1, sizeof length, writer->file) != sizeof length ||
        fwrite(bytes.data, 1, bytes.len, writer->file) != bytes.len)
        return fm_fail_errno(err, FM_IO, errno, "write %s", writer->path);
    return FM_OK;
}

enum fm_status fm_answer_writer_open(const char *path, struct fm_answer_writer **out,
                                     struct fm_error *err)
{
    FM_AUTO(fm_answer_writer_freep) struct fm_answer_writer *writer = calloc(1, sizeof *writer);

    if (writer == NULL)
        return fm_fail(err, FM_NOMEM, "save %s", path);
    int len =
        snprintf(writer->temporary, sizeof writer->temporary, "%s.new.%ld", path, (long)getpid());
    if (len < 0 || (size_t)len >= sizeof writer->temporary)
        return fm_fail(err, FM_LIMIT, "the path is too long: %s", path);
    (void)snprintf(writer->path, sizeof writer->path, "%s", path); /* Shorter than the other. */
    int fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) {
        int reason = errno;
        writer->temporary[0] = '\0'; /* Not ours to remove. */
        return fm_fail_errno(err, FM_IO, reason, "save the answer: create %s", path);
    }
    writer->file = fdopen(fd, "w");
    if (writer->file == NULL) {
        (void)close(fd); /* Nothing was written. */
        return fm_fail_errno(err, FM_IO, errno, "save %s", path);
    }
    if (fwrite(FM_ANSWER_MAGIC, 1, FM_ANSWER_MAGIC_BYTES, writer->file) != FM_ANSWER_MAGIC_BYTES)
        return fm_fail_errno(err, FM_IO, errno, "write %s", path);
    *out = FM_TAKE(writer);
    return FM_OK;
}

enum fm_status fm_answer_writer_batch(struct fm_answer_writer *writer, struct fm_span batch,
                                      struct fm_error *err)
{
    fm_assert(batch.len != 0 && batch.len <= FM_BATCH_BYTES_MAX);
    return put(writer, batch, err);
}

enum fm_status fm_answer_writer_bundle(struct fm_answer_writer *writer, struct fm_span bundle,
                                       struct fm_error *err)
{
    if (bundle.len == 0 || bundle.len > FM_DOC_BYTES_MAX)
        return fm_fail(err, FM_MALFORMED, "save %s: the bundle has %zu bytes", writer->path,
                       bundle.len);
    enum fm_status status = put(writer, fm_span("", 0), err);
    return status == FM_OK ? put(writer, bundle, err) : status;
}

enum fm_status fm_answer_writer_fragment(struct fm_answer_writer *writer, struct fm_span batch,
                                         struct fm_error *err)
{
    return fm_answer_writer_batch(writer, batch, err);
}

enum fm_status fm_answer_writer_finish(struct fm_answer_writer *writer, struct fm_error *err)
{
    if (fflush(writer->file) != 0 || fsync(fileno(writer->file)) != 0 ||
        rename(writer->temporary, writer->path) != 0)
        return fm_fail_errno(err, FM_IO, errno, "write %s", writer->path);
    writer->temporary[0] = '\0';
    return FM_OK;
}

void fm_answer_writer_free(struct fm_answer_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->file != NULL)
        (void)fclose(writer->file); /* What counts was synced in finish. */
    if (writer->temporary[0] != '\0')
        (void)unlink(writer->temporary); /* A half-written file helps nobody. */
    free(writer);
}

/* ---- Reading ------------------------------------------------------------------------------- */

static enum fm_status cut(const struct fm_answer_reader *reader, struct fm_error *err)
{
    if (ferror(reader->file))
        return fm_fail_errno(err, FM_IO, errno, "read %s", reader->name);
    return fm_fail(err, FM_MALFORMED,
                   "%s: the file ends too early; it was cut, or its lengths "
                   "were changed",
                   reader->name);
}

static enum fm_status get_length(struct fm_answer_reader *reader, uint32_t *out,
                                 struct fm_error *err)
{
    uint8_t length[4];

    if (fread(length, 1, sizeof length, reader->file) != sizeof length)
        return cut(reader, err);
    *out = fm_load32(length);
    return FM_OK;
}

/* In chunks: a length that lies costs no more memory than the file has bytes. */
static enum fm_status get_bytes(struct fm_answer_reader *reader, uint32_t len, struct fm_buf *out,
                                struct fm_error *err)
{
    uint8_t chunk[65536];

    for (uint32_t left = len; left != 0;) {
        size_t want = left < sizeof chunk ? left : sizeof chunk;
        if (fread(chunk, 1, want, reader->file) != want)
            return cut(reader, err);
        fm_buf_put(out, chunk, want);
        left -= (uint32_t)want;
    }
    if (fm_buf_status(out) != FM_OK)
        return fm_fail(err, fm_buf_status(out), "read %s: %s", reader->name,
                       fm_status_text(fm_buf_status(out)));
    return FM_OK;
}

enum fm_status fm_answer_reader_from(int fd, const char *name, struct fm_answer_reader **out,
                                     struct fm_error *err)
{
    FM_AUTO(fm_answer_reader_freep) struct fm_answer_reader *reader = calloc(1, sizeof *reader);

    if (reader != NULL)
        reader->file = fdopen(fd, "r");
    if (reader == NULL || reader->file == NULL) {
        (void)close(fd); /* Only read from. */
        return fm_fail(err, FM_NOMEM, "read %s", name);
    }
    (void)snprintf(reader->name, sizeof reader->name, "%s", name); /* Only shown. */
    enum fm_status status = fm_answer_reader_rewind(reader, err);
    if (status == FM_OK)
        *out = FM_TAKE(reader);
    return status;
}

enum fm_status fm_answer_reader_open(const char *path, struct fm_answer_reader **out,
                                     struct fm_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return fm_fail_errno(err, errno == ENOENT ? FM_NOTFOUND : FM_IO, errno, "open %s", path);
    return fm_answer_reader_from(fd, path, out, err);
}

enum fm_status fm_answer_reader_rewind(struct fm_answer_reader *reader, struct fm_error *err)
{
    uint8_t magic[FM_ANSWER_MAGIC_BYTES];
    size_t equal = 0;

    rewind(reader->file);
    reader->batches = 0;
    reader->at_bundle = false;
    size_t got = fread(magic, 1, sizeof magic, reader->file);
    if (ferror(reader->file))
        return fm_fail_errno(err, FM_IO, errno, "read %s", reader->name);
    for (size_t i = 0; i < got; i++)
        equal += magic[i] == (uint8_t)FM_ANSWER_MAGIC[i];
    if (equal == sizeof magic)
        return FM_OK;
    /* A damaged beginning is told from another kind of file. */
    return fm_fail(err, equal >= sizeof magic / 2 ? FM_MALFORMED : FM_INVALID,
                   "%s does not begin as a saved answer does; expected a file of folkmoot query "
                   "--save",
                   reader->name);
}

static enum fm_status get_batch(struct fm_answer_reader *reader, uint32_t len, struct fm_buf *batch,
                                struct fm_error *err)
{
    reader->batches++;
    if (len == 0 || len > FM_BATCH_BYTES_MAX)
        return fm_fail(err, FM_MALFORMED, "%s: batch %llu has %u bytes; 1 to %u are expected",
                       reader->name, (unsigned long long)reader->batches, len, FM_BATCH_BYTES_MAX);
    return get_bytes(reader, len, batch, err);
}

enum fm_status fm_answer_reader_batch(struct fm_answer_reader *reader, struct fm_buf *batch,
                                      struct fm_error *err)
{
    uint32_t len = 0;

    fm_assert(batch->len == 0);
    if (reader->at_bundle)
        return FM_NOTFOUND;
    enum fm_status status = get_length(reader, &len, err);
    if (status != FM_OK)
        return status;
    if (len == 0) {
        reader->at_bundle = true;
        return FM_NOTFOUND;
    }
    return get_batch(reader, len, batch, err);
}

enum fm_status fm_answer_reader_fragment(struct fm_answer_reader *reader, struct fm_buf *batch,
                                         struct fm_error *err)
{
    uint32_t len = 0;

    fm_assert(batch->len == 0);
    fm_assert(reader->at_bundle);
    enum fm_status status = get_length(reader, &len, err);
    return status == FM_OK ? get_batch(reader, len, batch, err) : status;
}

enum fm_status fm_answer_reader_bundle(struct fm_answer_reader *reader, struct fm_buf *bundle,
                                       struct fm_error *err)
{
    uint32_t len = 0;

    fm_assert(reader->at_bundle);
    enum fm_status status = get_length(reader, &len, err);
    if (status != FM_OK)
        return status;
    if (len == 0 || len > FM_DOC_BYTES_MAX)
        return fm_fail(err, FM_MALFORMED, "%s: the bundle has %u bytes; 1 to %u are expected",
                       reader->name, len, FM_DOC_BYTES_MAX);
    return get_bytes(reader, len, bundle, err);
}

enum fm_status fm_answer_reader_end(struct fm_answer_reader *reader, struct fm_error *err)
{
    int next = fgetc(reader->file);
    if (next != EOF)
        (void)ungetc(next, reader->file); /* Of one character it cannot fail. */
    if (next != EOF)
        return fm_fail(err, FM_MALFORMED, "%s: something follows the end of the answer",
                       reader->name);
    return ferror(reader->file) ? cut(reader, err) : FM_OK;
}

uint64_t fm_answer_reader_tell(const struct fm_answer_reader *reader)
{
    off_t at = ftello(reader->file);

    return at < 0 ? 0 : (uint64_t)at; /* Reading from there then finds no batch. */
}

enum fm_status fm_answer_reader_seek(struct fm_answer_reader *reader, uint64_t offset,
                                     struct fm_error *err)
{
    fm_assert(reader->at_bundle);
    if (fseeko(reader->file, (off_t)offset, SEEK_SET) != 0)
        return fm_fail_errno(err, FM_IO, errno, "read %s", reader->name);
    return FM_OK;
}

void fm_answer_reader_free(struct fm_answer_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->file != NULL)
        (void)fclose(reader->file); /* Only read from. */
    free(reader);
}
