/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that is a wire. What comes in at COM1 goes out at COM2, and the other way round, as fast as the other port
 * takes it. The FIFOs stay off, because switching them on would lose what has come before. The guest boots in a tenth of
 * a second. It is started in 32-bit protected mode (Multiboot specification 0.6.96, 3.2).
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define COM1 0x3f8
#define COM2 0x2f8
#define LSR 5
#define LSR_DR 0x01
#define LSR_THRE 0x20

    .text
    .long MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

    .macro forward from, to
    mov $\from + LSR, %edx
    in %dx, %al
    test $LSR_DR, %al
    jz 1f
    mov $\to + LSR, %edx
    in %dx, %al
    test $LSR_THRE, %al
    jz 1f
    mov $\from, %edx
    in %dx, %al
    mov $\to, %edx
    out %al, %dx
1:
    .endm

    .globl _start
_start:
    forward COM1, COM2
    forward COM2, COM1
    pause
    jmp _start
