/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes the server's byte stream apart into frames. Pure; the input is not trusted. */
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

/* Length of the first frame of `data`, copied to `frame`; 0 when it is not complete yet; -1, with the
 * reason in `why`, when it is not a frame that a server may send. */
int oob_frame_parse(const uint8_t *data, size_t len, union oob_frame *frame, const char **why);

/* The version of the protocol in the first `len` bytes of a WELCOME; 0 when they are not that. Where the version
 * stands is the same in all versions, how long a WELCOME is need not be. */
uint16_t oob_frame_version(const uint8_t *data, size_t len);

#endif
