/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uart.h"

/* What ports= wants, when a device's kind is there, and what follows is wrong. */
#define PORTS_WANTED                                                                                           \
    "ports= wants up to 15 devices, and for each its ranges of up to 8 adjacent ports (32 ranges in all), as " \
    "uart@0x3f8-0x3ff:generic@0x60+0x64"

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

static bool ends_with(const char **text, char c) {
    if (**text != c)
        return false;
    (*text)++;
    return true;
}

/* Parses one port or several adjacent ones: "0x64", "0x3f8-0x3ff". */
static bool parse_range(const char **text, uint16_t *first, uint16_t *last) {
    unsigned long from, to;

    if (!parse_number(text, 0xffff, &from))
        return false;
    to = from;
    if (ends_with(text, '-') && !parse_number(text, 0xffff, &to))
        return false;
    *first = (uint16_t)from;
    *last = (uint16_t)to;
    return true;
}

/* The kinds of devices that an administrator can name. A new shadow adds a line. */
static const struct kind {
    const char *name;
    const struct oob_device_ops *ops;
    unsigned ports; /* a device of this kind has one range of so many ports; 0: any ranges */
} kinds[] = {
    {"uart", &oob_uart_shadow, OOB_UART_PORTS},
    {"generic", &oob_no_shadow, 0},
};

/* Parses the name of a kind, and the "@" behind it. NULL: no kind has that name. */
static const struct kind *parse_kind(const char **text) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t length = strlen(kinds[i].name);

        if (strncmp(*text, kinds[i].name, length) == 0 && (*text)[length] == '@') {
            *text += length + 1;
            return &kinds[i];
        }
    }
    return NULL;
}

/* Parses all ranges of the device that was added last: "0x3f8-0x3ff", "0x60+0x64". Returns the number of ranges, or 0
 * when the text is malformed, or the bus has no room for a range. */
static unsigned parse_ranges(struct oob_bus *bus, const char **text) {
    unsigned ranges = 0;

    do {
        uint16_t first, last;

        if (!parse_range(text, &first, &last) || !oob_bus_add_ports(bus, first, last))
            return 0;
        ranges++;
    } while (ends_with(text, '+'));
    return ranges;
}

/* Parses one device: "uart@0x3f8-0x3ff", "generic@0x60+0x64". Returns what is wrong with it, or NULL. */
static const char *parse_device(struct oob_bus *bus, const char **text) {
    const struct kind *kind = parse_kind(text);
    unsigned ranges;
    int number;

    if (!kind)
        return "ports= wants a kind in front of each device's ports, as uart@0x3f8-0x3ff; the kinds are uart (a "
               "16550) "
               "and generic (any other device)";
    number = oob_bus_add(bus, kind->ops);
    ranges = number < 0 ? 0 : parse_ranges(bus, text);
    if (!ranges)
        return PORTS_WANTED;
    if (kind->ports && (ranges != 1 || bus->device[number].registers != kind->ports))
        return "ports= wants exactly eight adjacent ports for each uart";
    return NULL;
}

/* Parses ports=. Returns what is wrong with it, or NULL. */
static const char *parse_devices(struct oob_bus *bus, const char *text) {
    const char *wrong;

    *bus = (struct oob_bus){.devices = 0};
    do
        wrong = parse_device(bus, &text);
    while (!wrong && ends_with(&text, ':'));
    return !wrong && *text ? PORTS_WANTED : wrong;
}

static bool parse_device_lines(struct oob_bus *bus, unsigned device, const char **text) {
    do {
        unsigned long line;

        if (!parse_number(text, OOB_ISA_LINES - 1, &line) || !oob_bus_add_line(bus, device, (unsigned)line))
            return false;
    } while (ends_with(text, '+'));
    return true;
}

/* Parses the interrupt lines of all devices: "4:3", "4:1+12". "-" stands for a device that has none. */
static bool parse_lines(struct oob_bus *bus, const char *text) {
    for (unsigned device = 0; device < bus->devices; device++) {
        if (!ends_with(&text, '-') && !parse_device_lines(bus, device, &text))
            return false;
        if (device + 1 < bus->devices && !ends_with(&text, ':'))
            return false;
    }
    return !*text;
}

static bool copy(char *to, size_t size, const char *value) {
    return *value && (size_t)snprintf(to, size, "%s", value) < size;
}

bool oob_options_parse(struct oob_options *options, int argc, char **argv, char error[256]) {
    const char *lines = "4", *wrong;

    *options = (struct oob_options){.show_registers = false};
    parse_devices(&options->bus, "uart@0x3f8-0x3ff");
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
            wrong = parse_devices(&options->bus, value);
            if (wrong)
                return fail(error, wrong, value);
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
        return fail(
            error,
            "irq= wants one or two ISA interrupts (0-15) for each device of ports=, as 4:3 or 1+12, or - for a "
            "device without one",
            lines);
    if (!*options->socket || !*options->machine)
        return fail(error, "socket= and machine= are needed", *options->socket ? "machine" : "socket");
    return true;
}
