/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * void vm_enter(struct regs *regs, uint64_t vmcb)
 * Runs an L2 until its #VMEXIT. RAX and RSP of L2 are in its VMCB (AMD APM vol. 2, 15.5).
 */
    .macro each_reg op
    \op 8, %rcx
    \op 16, %rdx
    \op 24, %rbx
    \op 40, %rbp
    \op 48, %rsi
    \op 64, %r8
    \op 72, %r9
    \op 80, %r10
    \op 88, %r11
    \op 96, %r12
    \op 104, %r13
    \op 112, %r14
    \op 120, %r15
    .endm
    .macro load offset, reg
    mov \offset(%rdi), \reg
    .endm
    .macro store offset, reg
    mov \reg, \offset(%rdi)
    .endm

/* What a C function gives back as it got it. */
    .macro push_saved
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    .endm
    .macro pop_saved
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    .endm

    .text
    .globl vm_enter, vm_enter_vmrun
vm_enter:
    push_saved
    push %rdi
    mov %rsi, %rax
    clgi
    sti /* with V_INTR_MASKING this IF says whether interrupts reach L1 while L2 runs (15.21.1) */
    vmload %rax
    each_reg load
    mov 56(%rdi), %rdi
vm_enter_vmrun:
    vmrun %rax
    cli
    push %rdi
    mov 8(%rsp), %rdi
    each_reg store
    pop 56(%rdi)
    vmsave %rax
    stgi
    pop %rdi
    pop_saved
    ret

/*
 * uint64_t stub(uint64_t vmcb, uint64_t dx): runs an L2 once, does port I/O at the very next instruction, to
 * whatever port DX then names, and to COM1; returns what it reads from the scratch register. To be copied to where
 * no code was translated yet.
 */
    .macro make_stub name, prefix, then
    .globl \name, \name\()_end
\name:
    push_saved
    mov %rdi, %rax
    mov %rsi, %rdx
    clgi
    \prefix
    vmrun %rax
    \then
    out %al, %dx
    mov $0x3f8, %edx
    mov $'X', %al
    out %al, %dx
    mov $0x3ff, %edx
    in %dx, %al
    movzbl %al, %eax
    cli
    stgi
    pop_saved
    ret
\name\()_end:
    .endm
    make_stub stub
    make_stub stub_addr32, ".byte 0x67"
/* Takes its time first, and writes what stands in `kept` into EXITCODE. */
    .macro write_kept
    mov $20000000, %ecx
1:  loop 1b
    mov kept, %rcx
    mov %rcx, 0x70(%rax)
    mov $0x80, %edx
    .endm
    make_stub stub_keeping, , write_kept

/* A #GP handler that does port I/O first: 'X' to COM1, and its scratch register to gp_scratch. Steps over VMRUN. */
    .globl gp_handler, gp_handler_end, gp_scratch
gp_handler:
    push %rax
    push %rdx
    mov $0x3f8, %edx
    mov $'X', %al
    out %al, %dx
    mov $0x3ff, %edx
    in %dx, %al
    movb %al, gp_scratch
    pop %rdx
    pop %rax
    addq $3, 8(%rsp)
    add $8, %rsp /* the error code */
    iretq
gp_handler_end:
    .bss
gp_scratch: .skip 8

    .section .note.GNU-stack, "", @progbits
