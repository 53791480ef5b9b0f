/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shadow of a 16550, as device.h wants it: what a write does to its registers (uart_shadow.h) and to what the
 * guest will read (uart_ahead.h). Pure. */
#ifndef OOB_UART_H
#define OOB_UART_H

#include "device.h"

enum { OOB_UART_PORTS = 8 };

/* A device of so many ports and one interrupt line. */
extern const struct oob_device_ops oob_uart_shadow;

#endif
