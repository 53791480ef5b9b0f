/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool fail(char error[256], const char *what, const char *value) {
    snprintf(error, 256, "%s: '%.120s'", what, value);
    return false;
}

static bool parse_number(const char **text, unsigned long max, unsigned long *value) {
    char *end;

    if (**text < '0' || **text > '9')
        return false;
    *value = strtoul(*text, &end, 0);
    *text = end;
    return *value <= max;
}

static bool parse_ranges(struct oob_bus *bus, const char *text) {
    bus->ranges = 0;
    for (;;) {
        struct oob_range *range = &bus->range[bus->ranges];
        unsigned long first, last;

        if (bus->ranges == OOB_RANGES_MAX || !parse_number(&text, 0xffff, &first) || *text++ != '-' ||
            !parse_number(&text, 0xffff, &last) || last != first + 7 || first < 0x100)
            return false;
        range->first = (uint16_t)first;
        range->last = (uint16_t)last;
        for (unsigned i = 0; i < bus->ranges; i++)
            if (bus->range[i].first <= range->last && range->first <= bus->range[i].last)
                return false;
        bus->ranges++;
        if (!*text)
            return true;
        if (*text++ != ':')
            return false;
    }
}

static bool parse_lines(struct oob_bus *bus, const char *text) {
    for (unsigned i = 0; i < bus->ranges; i++) {
        unsigned long line;

        if (!parse_number(&text, 15, &line))
            return false;
        bus->range[i].line = (uint8_t)line;
        if (*text != (i + 1 < bus->ranges ? ':' : '\0'))
            return false;
        text++;
    }
    return true;
}

static bool copy(char *to, size_t size, const char *value) {
    return *value && (size_t)snprintf(to, size, "%s", value) < size;
}

bool oob_options_parse(struct oob_options *options, int argc, char **argv, char error[256]) {
    const char *lines = "4";

    *options = (struct oob_options){.bus = {.ranges = 1, .range = {{0x3f8, 0x3ff, 4}}}};
    for (int i = 0; i < argc; i++) {
        const char *value = strchr(argv[i], '=');

        if (!value)
            return fail(error, "an option has the form name=value, this one has not", argv[i]);
        value++;
        if (strncmp(argv[i], "socket=", 7) == 0) {
            if (!copy(options->socket, sizeof options->socket, value))
                return fail(error, "socket= wants the path of the server's socket, at most 107 bytes", value);
        } else if (strncmp(argv[i], "machine=", 8) == 0) {
            if (!copy(options->machine, sizeof options->machine, value))
                return fail(error, "machine= wants the configured machine name, at most 47 bytes", value);
        } else if (strncmp(argv[i], "ports=", 6) == 0) {
            if (!parse_ranges(&options->bus, value))
                return fail(error, "ports= wants up to 8 ranges of 8 ports from 0x100 up, as 0x3f8-0x3ff:0x2f8-0x2ff",
                            value);
        } else if (strncmp(argv[i], "irq=", 4) == 0) {
            lines = value;
        } else if (strcmp(argv[i], "registers=shown") == 0 || strcmp(argv[i], "registers=hidden") == 0) {
            options->show_registers = *value == 's';
        } else {
            return fail(error, "unknown option (there are socket, machine, ports, irq and registers=hidden or shown)",
                        argv[i]);
        }
    }
    if (!parse_lines(&options->bus, lines))
        return fail(error, "irq= wants one ISA interrupt (0-15) for each range of ports, as 4:3", lines);
    if (!*options->socket || !*options->machine)
        return fail(error, "socket= and machine= are needed", *options->socket ? "machine" : "socket");
    return true;
}
