/* AT (VERSION => n) and AT (TIMESTAMP => timestamp '..'): constants only. */
#include "query/tree.h"

#include <string.h>
#include <strings.h>

#define US_PER_SECOND INT64_C(1000000)
#define YEAR_MAX 9999

/* Exactly `digits` digits. */
static bool take_number(const char **at, unsigned digits, int64_t *out)
{
    int64_t value = 0;

    for (unsigned i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *out = value;
    return true;
}

static bool take_char(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar (Hinnant, "days_from_civil"). */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_date(const char **at, int64_t *us)
{
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;

    if (!take_number(at, 4, &year) || !take_char(at, '-') || !take_number(at, 2, &month) ||
        !take_char(at, '-') || !take_number(at, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || year > YEAR_MAX)
        return false;
    *us = days_from_civil(year, month, day) * 86400 * US_PER_SECOND;
    return true;
}

static bool take_fraction(const char **at, int64_t *us)
{
    int64_t unit = US_PER_SECOND / 10;

    if (!take_char(at, '.'))
        return true;
    if (**at < '0' || **at > '9')
        return false;
    for (; **at >= '0' && **at <= '9'; (*at)++, unit /= 10) {
        if (unit == 0)
            return false; /* Finer than a microsecond. */
        *us += (**at - '0') * unit;
    }
    return true;
}

static bool take_time(const char **at, int64_t *us)
{
    int64_t hour = 0;
    int64_t minute = 0;
    int64_t second = 0;

    if (**at != ' ' && **at != 'T')
        return true;
    (*at)++;
    if (!take_number(at, 2, &hour) || !take_char(at, ':') || !take_number(at, 2, &minute))
        return false;
    if (take_char(at, ':') && !take_number(at, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    *us += (hour * 3600 + minute * 60 + second) * US_PER_SECOND;
    return take_fraction(at, us);
}

/* Z, UTC, +hh, +hh:mm or nothing, which is UTC too. */
static bool take_zone(const char **at, int64_t *us)
{
    int64_t hours = 0;
    int64_t minutes = 0;

    if (take_char(at, 'Z') || **at == '\0')
        return true;
    if (strcasecmp(*at, " UTC") == 0) {
        *at += 4;
        return true;
    }
    int sign = **at == '-' ? -1 : 1;
    if (**at != '+' && **at != '-')
        return false;
    (*at)++;
    if (!take_number(at, 2, &hours))
        return false;
    if (take_char(at, ':') && !take_number(at, 2, &minutes))
        return false;
    if (hours > 15 || minutes > 59)
        return false;
    *us -= sign * (hours * 3600 + minutes * 60) * US_PER_SECOND;
    return true;
}

static bool parse_time(const char *text, int64_t *out)
{
    int64_t us = 0;

    if (!take_date(&text, &us) || !take_time(&text, &us) || !take_zone(&text, &us))
        return false;
    *out = us;
    return *text == '\0';
}

/* The constant, without the cast that `timestamp '..'` is. */
static const json_t *constant_of(const json_t *expression, bool casts)
{
    if (casts && tree_json_is(expression, "class", "CAST")) {
        const json_t *type = json_object_get(expression, "cast_type");
        if (!tree_json_is(type, "id", "TIMESTAMP") && !tree_json_is(type, "id", "DATE") &&
            !tree_json_is(type, "id", "TIMESTAMP WITH TIME ZONE"))
            return NULL;
        expression = json_object_get(expression, "child");
    }
    return tree_json_is(expression, "class", "CONSTANT") ? json_object_get(expression, "value")
                                                         : NULL;
}

/* Decimals carry their unscaled number: 1.5 is a 15. */
static bool is_integer(const json_t *type)
{
    return tree_json_is(type, "id", "INTEGER") || tree_json_is(type, "id", "BIGINT");
}

enum fm_status tree_read_at(struct tree *tree, const json_t *table, const json_t *clause,
                            struct fm_at *out)
{
    const json_t *expression = json_object_get(clause, "expr");
    const char *unit = tree_json_text(clause, "unit");
    int64_t value = 0;

    *out = (struct fm_at){.kind = FM_AT_LATEST};
    if (clause == NULL || json_is_null(clause))
        return FM_OK;
    if (unit != NULL && json_object_size(clause) == 2 && strcasecmp(unit, "VERSION") == 0) {
        const json_t *constant = constant_of(expression, false);
        const json_t *number = json_object_get(constant, "value");
        if (!is_integer(json_object_get(constant, "type")) ||
            !tree_json_int(number, 0, INT64_MAX, &value))
            return tree_fail(tree, table, FM_INVALID,
                             "AT (VERSION => n): n must be a whole number from 0");
        *out = (struct fm_at){.kind = FM_AT_VERSION, .value = value};
        return FM_OK;
    }
    if (unit != NULL && json_object_size(clause) == 2 && strcasecmp(unit, "TIMESTAMP") == 0) {
        const char *text = tree_json_text(constant_of(expression, true), "value");
        if (text == NULL || !parse_time(text, &value))
            return tree_fail(tree, table, FM_INVALID,
                             "AT (TIMESTAMP => timestamp '2026-01-31 12:00:00'): "
                             "one constant in this form is needed");
        *out = (struct fm_at){.kind = FM_AT_TIMESTAMP, .value = value};
        return FM_OK;
    }
    return tree_fail(tree, table, FM_INVALID, "AT is for VERSION or TIMESTAMP");
}
