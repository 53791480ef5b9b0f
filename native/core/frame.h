/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Splits the server's byte stream into frames, and checks them. The input is not trusted. Pure. */
#ifndef OOB_FRAME_H
#define OOB_FRAME_H

#include "types.h"

#include "oob_wire.h"

union oob_frame {
    struct oob_header h;
    struct oob_welcome welcome;
    struct oob_answer answer;
    struct oob_irq irq;
    struct oob_attention attention;
    struct oob_publish publish;
    struct oob_resume resume;
};

/* Copies the first frame of `data` to `frame`, and returns its length. Returns 0 when the frame is not complete yet,
 * and -1, with the reason in `why`, when a server may not send such a frame. */
int oob_frame_parse(const uint8_t *data, size_t len, union oob_frame *frame, const char **why);

/* The version of the protocol in the first `len` bytes of a WELCOME; 0 when they are not that. Where the version
 * stands is the same in all versions, how long a WELCOME is need not be. */
uint16_t oob_frame_version(const uint8_t *data, size_t len);

#endif
