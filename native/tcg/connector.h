/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that connects to the server, connects again, and sends what vCPUs have left to be sent. */
#ifndef OOB_CONNECTOR_H
#define OOB_CONNECTOR_H

#include <stdbool.h>

/* Starts the thread. False when there cannot be one. */
bool oob_connector_start(void);
/* Has the thread call oob_link_service() soon. False when it is about to, anyway. */
bool oob_connector_wake(void);

#endif
