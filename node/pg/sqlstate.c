#include "node/pg/sqlstate.h"

#include <stdbool.h>
#include <string.h>

static const char *state_of_status(enum fm_status status)
{
    switch (status) {
    case FM_NOMEM:
        return "53200";
    case FM_LIMIT:
        return "54000";
    case FM_MALFORMED:
        return "08P01";
    case FM_NOTFOUND:
        return "42P01";
    case FM_IO:
        return "58030";
    case FM_REFUSED:
        return "42501";
    case FM_UNAVAILABLE:
        return "HV00N";
    case FM_TIMEOUT:
    case FM_CANCELLED:
        return "57014";
    case FM_CONFLICT:
        return "40001";
    case FM_BUSY:
        return "53300";
    case FM_UNSUPPORTED:
        return "0A000";
    case FM_FORGED:
    case FM_CORRUPT:
        return "XX001";
    case FM_INVALID:
        return "42601";
    default:
        return "XX000";
    }
}

/* The first that stands in a text counts: narrow ones before wide ones. */
static const struct {
    const char *words, *state;
} kinds[] = {
    {"syntax error", "42601"},
    {"only SELECT statements are supported", "0A000"},
    {"parameters ($1, ?) are not supported", "42P02"},
    {"does not exist or is not visible", "42P01"},
    {"Referenced table", "42P01"},
    {"Referenced column", "42703"},
    {"does not have a column named", "42703"},
    {"not found in FROM clause", "42703"},
    {"Ambiguous reference", "42702"},
    {"must appear in the GROUP BY", "42803"},
    {"cannot contain aggregates", "42803"},
    {"cannot be nested", "42803"},
    {"cannot contain window functions", "42P20"},
    {"No function matches", "42883"},
    {"Could not choose a best candidate function", "42725"},
    {"Function with name", "42883"},
    {"Type with name", "42704"},
    {"same number of result columns", "42601"},
    {"ORDER term out of range", "42P10"},
    {"LIMIT/OFFSET cannot be negative", "2201W"},
    {"More than one row returned by a subquery", "21000"},
    {"square root of a negative number", "2201F"},
    {"cannot take logarithm", "2201E"},
    {"ivision by zero", "22012"},
    {"invalid byte sequence", "22021"},
    {"invalid date field format", "22007"},
    {"invalid timestamp field format", "22007"},
    {"invalid time field format", "22007"},
    {"date field value out of range", "22008"},
    {"timestamp field value out of range", "22008"},
    {"out of range for the destination type", "22003"},
    {"invalid input syntax", "22P02"},
    {"Malformed JSON", "22P02"},
    {"missing )", "2201B"},
    {"missing ]", "2201B"},
    {"unexpected )", "2201B"},
    {"no argument for repetition operator", "2201B"},
    {"bad repetition operator", "2201B"},
    {"invalid escape sequence", "2201B"},
    {"invalid character class", "2201B"},
    {"Parser Error: ", "42601"},
    {"Conversion Error: ", "22P02"},
    {"Could not convert", "22P02"},
    {"Out of Range Error: ", "22003"},
    {"Overflow in", "22003"},
    {"Invalid Input Error: ", "22023"},
    {"Not implemented Error: ", "0A000"},
    {"Permission Error: ", "42501"},
    {"Catalog Error: ", "42704"},
    {"Binder Error: ", "42000"},
    {"is not supported", "0A000"},
    {"are not supported", "0A000"},
};

/* Without what stands between quotes of one kind; an apostrophe within a word is none. */
static void put_unquoted(const char *text, char *out, size_t size)
{
    size_t len = 0;
    char quote = '\0', before = ' ';

    for (; *text != '\0' && len + 1 < size; before = *text++) {
        bool opens = *text == '"' || (*text == '\'' && (before == ' ' || before == '('));
        if (quote != '\0')
            quote = *text == quote ? '\0' : quote;
        else if (opens)
            quote = *text;
        else
            out[len++] = *text;
    }
    out[len] = '\0';
}

const char *fm_pg_sqlstate(enum fm_status status, const char *text)
{
    char words[FM_ERROR_TEXT_MAX];

    if (status != FM_INVALID && status != FM_NOTFOUND && status != FM_UNSUPPORTED)
        return state_of_status(status);
    put_unquoted(text, words, sizeof words);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strstr(words, kinds[i].words) != NULL)
            return kinds[i].state;
    return state_of_status(status);
}
