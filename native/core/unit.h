/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices of a guest, by their numbers. The functions call the operations of device.h, which explains them.
 * Where a device lacks an operation, they do what device.h says for NULL. */
#ifndef OOB_UNIT_H
#define OOB_UNIT_H

#include "context.h"

void oob_unit_init(struct oob_context *context, unsigned device);
/* The guest is gone: gives the memory of its output back. */
void oob_unit_free(struct oob_context *context, unsigned device);
void oob_unit_restart(struct oob_context *context, unsigned device);
void oob_unit_recall(struct oob_context *context, unsigned device, const void *remembered);

bool oob_unit_awaits(const struct oob_context *context, struct oob_target target);
bool oob_unit_write(struct oob_context *context, struct oob_target target, uint8_t value);
void oob_unit_written(struct oob_context *context, struct oob_target target, bool awaited, bool sent);
/* Is that register the one to which the guest writes its output? */
bool oob_unit_is_output(const struct oob_context *context, struct oob_target target);

/* `alone`: there is no server, so what it has published for a device without a shadow does not count. */
enum oob_told oob_unit_read(struct oob_context *context, struct oob_target target, bool alone, uint8_t *value);
uint8_t oob_unit_idle_read(struct oob_context *context, struct oob_target target);
enum oob_look oob_unit_saw(struct oob_context *context, struct oob_target target, uint8_t value, bool asked);
/* `told`: the server was told, else it will be told when it is back. */
void oob_unit_was_told(struct oob_context *context, struct oob_target target, bool told);
bool oob_unit_owes(struct oob_context *context, unsigned device, struct oob_write *read);
bool oob_unit_is_drained(const struct oob_context *context, unsigned device);
uint32_t oob_unit_number(const struct oob_context *context, unsigned device);

bool oob_unit_publish(struct oob_context *context, struct oob_target target, const struct oob_publish *publish);
/* Publications that the server made before it had served `accesses` accesses are out of date. */
void oob_unit_outdate(struct oob_context *context, unsigned device, uint32_t accesses);
int oob_unit_level(const struct oob_context *context, unsigned device, unsigned line, bool alone);
/* May what the device's line is high for wait for a millisecond? */
bool oob_unit_can_wait(const struct oob_context *context, unsigned device, unsigned line);

size_t oob_unit_replay(const struct oob_context *context, unsigned device, struct oob_write writes[OOB_REPLAY_MAX]);
size_t oob_unit_around_output(const struct oob_context *context, unsigned device, bool behind,
                              struct oob_write writes[OOB_REPLAY_MAX]);
size_t oob_unit_reads(struct oob_context *context, unsigned device, struct oob_write reads[OOB_REPLAY_MAX]);
/* The port to which the guest writes a device's output. */
uint16_t oob_unit_output_port(const struct oob_context *context, unsigned device);

#endif
