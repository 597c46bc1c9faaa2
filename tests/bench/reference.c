/* DuckDB over the raw files: what every answer of the mesh is compared with.
 *
 *   reference DATA_DIR QUERY.sql      prints the answer as CSV
 *
 * DATA_DIR is the folder of the data sets; the tables have the names and types of the contracts in
 * examples/contracts. */
#include <duckdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const views =
    "CREATE SCHEMA flights; CREATE SCHEMA airports; CREATE SCHEMA weather;"
    "CREATE VIEW flights.delays AS SELECT date::TIMESTAMP AS date, delay::INTEGER AS delay,"
    " distance::INTEGER AS distance, origin, destination"
    " FROM read_parquet('%s/flights-3m.parquet');"
    "CREATE VIEW airports.airport AS SELECT iata, name, city, state, country,"
    " latitude::DOUBLE AS latitude, longitude::DOUBLE AS longitude"
    " FROM read_csv('%s/airports.csv', header = true, all_varchar = true);"
    "CREATE VIEW weather.daily AS SELECT location, date::DATE AS date,"
    " precipitation::DOUBLE AS precipitation, temp_max::DOUBLE AS temp_max,"
    " temp_min::DOUBLE AS temp_min, wind::DOUBLE AS wind, weather"
    " FROM read_csv('%s/weather.csv', header = true, all_varchar = true);"
    "SET integer_division = true;"
    "SET default_null_order = 'nulls_last_on_asc_first_on_desc';";

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 16);

    if (file == NULL || text == NULL) {
        perror(path);
        exit(1);
    }
    size_t len = fread(text, 1, (1 << 16) - 1, file);
    text[len] = '\0';
    (void)fclose(file); /* Read only. */
    return text;
}

static void put_field(const char *text, bool last)
{
    if (text != NULL && strpbrk(text, ",\"\r\n") != NULL) {
        (void)putchar('"');
        for (const char *c = text; *c != '\0'; c++) {
            if (*c == '"')
                (void)putchar('"');
            (void)putchar(*c);
        }
        (void)putchar('"');
    } else if (text != NULL) {
        (void)fputs(text, stdout);
    }
    (void)putchar(last ? '\n' : ',');
}

static void must(duckdb_state state, duckdb_result *result)
{
    if (state == DuckDBSuccess)
        return;
    (void)fprintf(stderr, "reference: %s\n", duckdb_result_error(result));
    exit(1);
}

static void print(duckdb_result *result)
{
    idx_t columns = duckdb_column_count(result), rows = duckdb_row_count(result);

    for (idx_t c = 0; c < columns; c++)
        put_field(duckdb_column_name(result, c), c + 1 == columns);
    for (idx_t r = 0; r < rows; r++) {
        for (idx_t c = 0; c < columns; c++) {
            char *text = duckdb_value_varchar(result, c, r);
            size_t len = text == NULL ? 0 : strlen(text);
            /* PostgreSQL's form of a whole double has no ".0"; folkmoot prints that one. */
            if (duckdb_column_type(result, c) == DUCKDB_TYPE_DOUBLE && len > 2 &&
                strcmp(text + len - 2, ".0") == 0)
                text[len - 2] = '\0';
            put_field(text, c + 1 == columns);
            duckdb_free(text);
        }
    }
}

int main(int argc, char **argv)
{
    duckdb_database database;
    duckdb_connection connection;
    duckdb_result result;
    char setup[16384];

    if (argc != 3) {
        (void)fputs("usage: reference DATA_DIR QUERY.sql\n", stderr);
        return 64;
    }
    if (duckdb_open(NULL, &database) != DuckDBSuccess ||
        duckdb_connect(database, &connection) != DuckDBSuccess)
        return 1;
    (void)snprintf(setup, sizeof setup, views, argv[1], argv[1], argv[1]);
    must(duckdb_query(connection, setup, &result), &result);
    duckdb_destroy_result(&result);
    char *sql = read_file(argv[2]);
    must(duckdb_query(connection, sql, &result), &result);
    print(&result);
    duckdb_destroy_result(&result);
    free(sql);
    duckdb_disconnect(&connection);
    duckdb_close(&database);
    return 0;
}
