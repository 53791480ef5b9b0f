/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that connects to the server, connects again when the connection is lost, and sends the bytes that vCPUs
 * have left to be sent. */
#ifndef OOB_CONNECTOR_H
#define OOB_CONNECTOR_H

#include <stdbool.h>

/* Starts the thread. Returns false when that fails. */
bool oob_connector_start(void);
/* Makes the thread call oob_link_service() soon. Returns false when the thread is about to do so anyway. */
bool oob_connector_wake(void);

#endif
