/* Saved answers of strangers: read to the end or refused, in memory bounded by the file's size. */
#include "client/answer_file.h"

#include "core/assert.h"
#include "core/limits.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Give the bytes as a file, with the magic in front so that the rest is reached. */
static int make_file(const uint8_t *data, size_t size)
{
    int fd = memfd_create("answer", MFD_CLOEXEC);

    fm_assert(fd >= 0);
    if (size != 0 && (data[0] & 1) != 0)
        fm_assert(write(fd, FM_ANSWER_MAGIC, FM_ANSWER_MAGIC_BYTES) == FM_ANSWER_MAGIC_BYTES);
    if (size > 1)
        fm_assert(write(fd, data + 1, size - 1) == (ssize_t)(size - 1));
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FM_AUTO(fm_answer_reader_freep) struct fm_answer_reader *reader = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    struct fm_error err = {0};
    size_t total = FM_ANSWER_MAGIC_BYTES;

    enum fm_status status = fm_answer_reader_from(make_file(data, size), "input", &reader, &err);
    while (status == FM_OK) {
        fm_buf_clear(&bytes);
        status = fm_answer_reader_batch(reader, &bytes, &err);
        if (status == FM_OK)
            total += 4 + bytes.len;
        fm_assert(total <= size + FM_ANSWER_MAGIC_BYTES);
    }
    if (status == FM_NOTFOUND) {
        fm_buf_clear(&bytes);
        status = fm_answer_reader_bundle(reader, &bytes, &err);
        if (status == FM_OK)
            fm_assert(bytes.len >= 1 && total + bytes.len <= size + FM_ANSWER_MAGIC_BYTES);
        total += 8 + bytes.len;
        /* As many batches of fragments as there may be, or the end. */
        while (status == FM_OK && fm_answer_reader_end(reader, NULL) != FM_OK) {
            fm_buf_clear(&bytes);
            status = fm_answer_reader_fragment(reader, &bytes, &err);
            if (status == FM_OK)
                total += 4 + bytes.len;
            fm_assert(total <= size + FM_ANSWER_MAGIC_BYTES);
        }
    }
    if (status != FM_OK)
        fm_assert(err.text[0] != '\0');
    return 0;
}
