/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the Multiboot loader (Multiboot specification 0.6.96, 3.2: 32-bit protected mode, no paging) to long
 * mode with the first 4 GiB mapped one to one, and the first of them once more above; the same for a second CPU from its start-up IPI; and traps.
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define CR0_PG_PE 0x80000001
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define TRAMPOLINE 0x8000

    .section .multiboot, "a"
    .long MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

    .text
    .code32
    .globl start
start:
    cli
    cld
    mov %ebx, multiboot_info
    mov $pd, %edi
    mov $0x83, %eax /* present, writable, 2 MiB */
    mov $2048, %ecx
1:  mov %eax, (%edi)
    add $8, %edi
    add $0x200000, %eax
    loop 1b
    mov $pd + 3, %eax
    mov $pdpt, %edi
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $8, %edi
    add $0x1000, %eax
    loop 1b
    mov pdpt, %eax
    mov %eax, pdpt + 8 * 4 /* HIGH of l1.h: the same once more */
    movl $pdpt + 3, pml4
    mov $stack_top, %esp
    mov $l1_main, %ebx

/* To the 64-bit function in EBX, with the stack in ESP. */
enter_long:
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov $CR0_PG_PE, %eax
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $0x08, $1f
    .code64
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    mov %ebx, %ebx
    and $-16, %rsp
    call *%rbx
1:  hlt
    jmp 1b

/* Copied to TRAMPOLINE, where the start-up IPI sends the other CPU in real mode. */
    .code16
    .globl trampoline, trampoline_end
trampoline:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl trampoline_gdt - trampoline
    mov $1, %eax
    mov %eax, %cr0
    ljmpl $0x18, $second_cpu
trampoline_gdt:
    .word gdt_end - gdt - 1
    .long gdt
trampoline_end:

/* Another that goes there: turns SVM on, and does port I/O at once. */
    .globl svme_then_io, svme_then_io_scratch, svme_then_io_done, svme_then_io_end
svme_then_io:
    mov $0xc0000080, %ecx
    rdmsr
    or $0x1000, %eax
    wrmsr
    mov $0x3f8, %dx
    mov $'X', %al
    out %al, %dx
    mov $0x3ff, %dx
    in %dx, %al
    movb %al, %cs:svme_then_io_scratch - svme_then_io
    movb $1, %cs:svme_then_io_done - svme_then_io
1:  hlt
    jmp 1b
svme_then_io_scratch: .byte 0
svme_then_io_done: .byte 0
svme_then_io_end:

    .code32
second_cpu:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %ss
    mov $second_stack_top, %esp
    mov $second_main, %ebx
    jmp enter_long

    .code64
    .altmacro
    .macro trap_stub vector
trap_\vector:
    .if !(\vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17)
    push $0
    .endif
    push $\vector
    jmp trap_common
    .endm
    .set v, 0
    .rept 48
    trap_stub %v
    .set v, v + 1
    .endr

trap_common:
    push %rax
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    lea 72(%rsp), %rdi
    cld
    call l1_trap
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

    .section .rodata
    .globl trap_stubs
    .macro trap_address vector
    .quad trap_\vector
    .endm
trap_stubs:
    .set v, 0
    .rept 48
    trap_address %v
    .set v, v + 1
    .endr

    .balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

    .bss
    .balign 4096
    .globl pml4
pml4: .skip 4096
pdpt: .skip 4096
pd: .skip 4 * 4096
    .skip 32768
stack_top:
    .skip 16384
second_stack_top:
    .globl multiboot_info
multiboot_info: .skip 8
    .section .note.GNU-stack, "", @progbits
