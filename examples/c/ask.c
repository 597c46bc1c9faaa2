/* Ask a node of a mesh and print the verified answer, a line a row:
 *
 *     cc ask.c $(pkg-config --cflags --libs folkmoot) -o ask
 *     ./ask 127.0.0.1:7410 ann "SELECT origin, count(*) FROM flights.delays GROUP BY origin"
 *
 * The second argument is a folder of `folkmoot principal create`. Exit status 0 only when the rows
 * that were printed are what the owners of the data signed for. */
#include <folkmoot.h>

#include <stdio.h>
#include <string.h>

static enum folkmoot_status print_row(struct folkmoot_result *result, uint32_t row)
{
    uint32_t columns = folkmoot_result_column_count(result);

    for (uint32_t column = 0; column < columns; column++) {
        const char *text;
        size_t len;
        enum folkmoot_status status = folkmoot_result_text(result, row, column, &text, &len);
        if (status != FOLKMOOT_OK)
            return status;
        if (column != 0)
            putchar('\t');
        if (text != NULL) /* NULL is printed as nothing. */
            fwrite(text, 1, len, stdout);
    }
    putchar('\n');
    return FOLKMOOT_OK;
}

/* The rows as they come. Only the end, a batch without rows, says that they hold. */
static enum folkmoot_status print_rows(struct folkmoot_result *result)
{
    for (;;) {
        enum folkmoot_status status = folkmoot_result_next(result);
        uint32_t rows = status == FOLKMOOT_OK ? folkmoot_result_rows(result) : 0;
        if (rows == 0)
            return status;
        for (uint32_t row = 0; row < rows && status == FOLKMOOT_OK; row++)
            status = print_row(result, row);
        if (status != FOLKMOOT_OK)
            return status;
    }
}

static void print_receipts(const struct folkmoot_answer *answer)
{
    struct folkmoot_answer_info info;

    if (answer == NULL) /* A statement about the session: no node was asked. */
        return;
    folkmoot_answer_info(answer, &info);
    for (uint32_t i = 0; i < info.receipt_count; i++) {
        struct folkmoot_receipt_info receipt;
        if (folkmoot_answer_receipt(answer, i, &receipt) == FOLKMOOT_OK)
            fprintf(stderr, "signed by %s for domain %s\n", receipt.node_name, receipt.domain);
    }
}

int main(int argc, char **argv)
{
    struct folkmoot_options options = {0};
    struct folkmoot *mesh = NULL;
    struct folkmoot_result *result = NULL;
    char error[FOLKMOOT_ERROR_MAX] = "";

    if (argc != 4) {
        fprintf(stderr, "usage: ask HOST:PORT IDENTITY SQL\n");
        return 64;
    }
    options.node = argv[1];
    options.identity = argv[2];
    enum folkmoot_status status = folkmoot_open(&options, &mesh, error);
    if (status != FOLKMOOT_OK) {
        fprintf(stderr, "ask: %s\n", error);
        return 1;
    }
    status = folkmoot_query(mesh, argv[3], strlen(argv[3]), NULL, &result);
    if (status == FOLKMOOT_OK)
        status = print_rows(result);
    if (status == FOLKMOOT_OK)
        print_receipts(folkmoot_result_answer(result));
    else
        fprintf(stderr, "ask: %s\n", folkmoot_error(mesh));
    folkmoot_result_free(result);
    folkmoot_close(mesh);
    return status == FOLKMOOT_OK && fflush(stdout) == 0 ? 0 : 1;
}
