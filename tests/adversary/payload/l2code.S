/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What L2s run, in long mode. Each ends with VMMCALL, which tells L1. */
#define COM1 0x3f8
#define IER 0x3f9
#define IIR 0x3fa
#define MCR 0x3fc
#define LSR 0x3fd
#define SCR 0x3ff

    .macro block name
    .globl \name, \name\()_end
\name:
    .endm
    .macro end_block name
    vmmcall
\name\()_end:
    .endm
    .macro write port, value
    mov $\port, %edx
    mov $\value, %al
    out %al, %dx
    .endm

/* The 8259's line 4 is vector 0x24, and THR is empty. */
    .macro want_interrupt
    write 0x20, 0x11
    write 0x21, 0x20
    write 0x21, 0x04
    write 0x21, 0x01
    write 0x21, 0xef
    write MCR, 0x08
    write IER, 0x02
    .endm
/* Every encoding of a write to CR8 from RAX: with REX.R and what else QEMU lets pass, and as LOCK MOV CR0. */
    .macro write_cr8
    .byte 0x44, 0x0f, 0x22, 0xc0
    .byte 0x66, 0x44, 0x0f, 0x22, 0xc0
    .byte 0xf2, 0x4c, 0x0f, 0x22, 0xc0
    .byte 0x2e, 0x44, 0x0f, 0x22, 0x00
    mov %rax, %r8
    .byte 0x45, 0x0f, 0x22, 0xc0
    .byte 0xf0, 0x0f, 0x22, 0xc0
    .endm

    .section .rodata
    block l2_nothing
    end_block l2_nothing

/* Takes some microseconds. */
    block l2_pause
    mov $2000, %ecx
1:  loop 1b
    end_block l2_pause

    block l2_long_pause
    mov $20000000, %ecx
1:  loop 1b
    end_block l2_long_pause

/* Prints RCX bytes at RSI; RDX is the port. */
    block l2_print
1:  lodsb
    out %al, %dx
    loop 1b
    end_block l2_print

/* The same in one instruction. */
    block l2_print_string
    rep outsb
    end_block l2_print_string

/* Waits for input, and leaves it in the UART. */
    block l2_await
    mov $LSR, %edx
1:  in %dx, %al
    test $1, %al
    jz 1b
    end_block l2_await

/* Reads RCX bytes of input to RDI. */
    block l2_read
1:  mov $LSR, %edx
    in %dx, %al
    test $1, %al
    jz 1b
    mov $COM1, %edx
    in %dx, %al
    stosb
    loop 1b
    end_block l2_read

/* Prints a secret, whatever the registers hold. */
    block l2_secret
    lea 2f(%rip), %rsi
    mov $12, %ecx
    mov $COM1, %edx
1:  lodsb
    out %al, %dx
    loop 1b
    vmmcall
2:  .ascii "<the secret>"
    end_block l2_secret

/* Takes EFER.SVME away from itself, runs on, gives it back, and goes to RBX. */
    block l2_toggle_svme
    mov $0xc0000080, %ecx
    rdmsr
    btr $12, %eax
    wrmsr
    jmp 1f
1:  bts $12, %eax
    wrmsr
    jmp *%rbx
    end_block l2_toggle_svme

/* One write of AL to port DX. */
    block l2_out
    out %al, %dx
    end_block l2_out

    block l2_spin
1:  pause
    jmp 1b
    end_block l2_spin

/* Runs for RCX turns, then goes on in blocks that were never run before: prints RBX bytes at RSI. */
    block l2_late
1:  loop 1b
    mov %rbx, %rcx
    mov $COM1, %edx
1:  lodsb
    out %al, %dx
    loop 1b
    end_block l2_late

/* Wants interrupts, at vector 0x24, and cannot take them; looks, tells L1, and prints F. RBX gets RAX, RCX gets RDX, as they are after `out`. */
    block l2_forced
    want_interrupt
    mov $IIR, %edx
    in %dx, %al
    in %dx, %al
    vmmcall
    mov $0x1122334455667746, %rax
    mov $0x99aabbcc000003f8, %rdx
    out %al, %dx
    mov %rax, %rbx
    mov %rdx, %rcx
    end_block l2_forced

/* In real mode, behind the VMMCALL: an interrupt handler that counts in RCX, looks whether it may print, and prints I. */
    block l2_handler
    .code16
    vmmcall
    inc %cx
    mov $LSR, %dx
    in %dx, %al
    mov $COM1, %dx
    mov $0x49, %al
    out %al, %dx
    iret
    .code64
    end_block l2_handler

/* A handler that takes its time, four million turns of it, without an exit. */
    block l2_slow_handler
    .code16
    vmmcall
    inc %cx
    mov $0x2000, %si
1:  mov $0x200, %di
2:  dec %di
    jnz 2b
    dec %si
    jnz 1b
    iret
    .code64
    end_block l2_slow_handler

/* The same, where the VMMCALL is a user's. */
    block l2_slow_handler_64
    vmmcall
    inc %ecx
    mov $0x400000, %esi
1:  dec %esi
    jnz 1b
    iretq
    end_block l2_slow_handler_64

/* RBX gets RAX, RCX gets RDX. */
    block l2_tell
    mov %rax, %rbx
    mov %rdx, %rcx
    end_block l2_tell

/* Its own `out` comes and goes: prints 0 and 2 of 0 to 3. */
    block l2_modify
    mov $COM1, %edx
    xor %ecx, %ecx
    lea 3f(%rip), %rdi
1:  movb $0xee, (%rdi) /* out %al, %dx */
    test $1, %ecx
    jz 2f
    movb $0x90, (%rdi)
2:  lea '0'(%rcx), %eax
3:  nop
    inc %ecx
    cmp $4, %ecx
    jne 1b
    end_block l2_modify

/* RCX reads of a register that must be asked for. */
    block l2_flood_in
    mov $SCR, %edx
1:  in %dx, %al
    loop 1b
    end_block l2_flood_in

/* RCX times: interrupts on and off, each time with one pending. */
    block l2_flood_ier
    mov $IER, %edx
1:  mov $2, %al
    out %al, %dx
    xor %eax, %eax
    out %al, %dx
    loop 1b
    end_block l2_flood_ier

/* For L1 and L2 alike, at one address: one write of AL to port DX, then back to L1: CL says how. */
    block l2_shared
    out %al, %dx
    test %cl, %cl
    jz 1f
    ret
1:  end_block l2_shared

/* Writes AL to the scratch register, and reads it again. */
    block l2_scratch
    mov $SCR, %edx
    out %al, %dx
    in %dx, %al
    end_block l2_scratch

/* Has an interrupt pending that it does not take, tells L1, and writes to CR8 RCX times; RBX gets what is in it. */
    block l2_cr8
    want_interrupt
    vmmcall
1:  mov %ecx, %eax
    and $7, %eax
    write_cr8
    sub $1, %ecx
    jnz 1b
    mov %cr8, %rbx
    end_block l2_cr8

/* The same from real mode, where LOCK is the only way. */
    block l2_cr8_real
    .code16
    vmmcall
1:  mov %cx, %ax
    and $7, %ax
    .byte 0xf0, 0x0f, 0x22, 0xc0
    loop 1b
    .code64
    end_block l2_cr8_real

/* Takes interrupts while it writes to CR8, for as long as RBX is 0. Behind the VMMCALL its handler, which writes to
 * CR8, too, counts in RCX, prints, and so has the next one pending. */
    block l2_cr8_and_interrupts
    want_interrupt
1:  cli
    mov $2, %eax
    write_cr8
    sti
    xor %eax, %eax
    write_cr8
    test %rbx, %rbx
    jz 1b
    vmmcall
    .globl l2_cr8_handler
l2_cr8_handler:
    push %rax
    push %rdx
    mov $3, %eax
    write_cr8
    inc %rcx
    mov $IIR, %edx
    in %dx, %al
    mov $COM1, %edx
    mov $'I', %al
    out %al, %dx
    xor %eax, %eax
    write_cr8
    pop %rdx
    pop %rax
    iretq
    end_block l2_cr8_and_interrupts

/* Prints AL RCX times; its handler of #DB counts in RBX. */
    block l2_trapped
    mov $COM1, %edx
1:  out %al, %dx
    loop 1b
    vmmcall
    .globl l2_trapped_handler
l2_trapped_handler:
    inc %rbx
    iretq
    end_block l2_trapped

/* Prints RBX lines as a serial driver does: enables the interrupt of an empty THR, and halts. Behind the UD2 its
 * handler, which looks, prints a line, disables the interrupt, looks again, and counts in RCX. */
    block l2_short_lines
    want_interrupt
    write IIR, 0x07
1:  cli
    write IER, 0x02
    cmp $IER, %edx /* an exit here must not change anything */
    jne 2f
    cmp $0x02, %al
    jne 2f
    sti
    hlt
    dec %rbx
    jnz 1b
    vmmcall
2:  ud2
    .globl l2_short_lines_handler
l2_short_lines_handler:
    push %rax
    push %rdx
    inc %rcx
    mov $IIR, %edx
    in %dx, %al
    write COM1, 'l'
    write COM1, '\n'
    write IER, 0x00
    mov $IIR, %edx
    in %dx, %al
    pop %rdx
    pop %rax
    iretq
    end_block l2_short_lines

    .section .note.GNU-stack, "", @progbits
