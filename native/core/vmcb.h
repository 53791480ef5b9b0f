/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields of the virtual machine control block: AMD APM vol. 2, appendix B. */
#ifndef OOB_VMCB_H
#define OOB_VMCB_H

enum vmcb_offset {
    VMCB_INTERCEPTS_CR = 0x000, /* u32: reads of CR0 to CR15 in bits 0 to 15, writes in bits 16 to 31 */
    VMCB_INTERCEPTS_3 = 0x00c,  /* u32: vector 3 of the intercepts; bit 4 is VINTR */
    VMCB_IOPM_BASE = 0x040,     /* u64 */
    VMCB_INT_CTL = 0x060,       /* u32 with the fields V_TPR, V_IRQ, V_INTR_PRIO, V_IGN_TPR and others */
    VMCB_INT_VECTOR = 0x064,    /* u32 */
    VMCB_INT_STATE = 0x068,     /* u64; bit 0: the interrupt shadow */
    VMCB_EXITCODE = 0x070,      /* u64 */
    VMCB_EXITINFO1 = 0x078,
    VMCB_EXITINFO2 = 0x080,
    VMCB_EXITINTINFO = 0x088, /* u64: the event whose delivery the exit interrupted */
    VMCB_EVENTINJ = 0x0a8,    /* u64: the event that VMRUN delivers */
    VMCB_N_CR3 = 0x0b0,
    VMCB_SOFTWARE = 0x3f8, /* u64: part of the 32 bytes for host software; KVM writes the other 24 for Hyper-V */
    VMCB_CS_BASE = 0x418,
    VMCB_TR_LIMIT = 0x494, /* u32; TR and LDTR are as L1's last VMSAVE left them */
    VMCB_TR_BASE = 0x498,
    VMCB_CPL = 0x4cb, /* u8 */
    VMCB_EFER = 0x4d0,
    VMCB_CR4 = 0x548,
    VMCB_CR3 = 0x550,
    VMCB_CR0 = 0x558,
    VMCB_RFLAGS = 0x570,
    VMCB_RIP = 0x578,
    VMCB_RAX = 0x5f8,
    VMCB_LSTAR = 0x608,
};

#define RFLAGS_TF (1u << 8)
#define RFLAGS_IF (1u << 9)
#define RFLAGS_RF (1u << 16)
#define VMCB_INTERCEPT_CR8_WRITE (1u << 24)
#define VMCB_INTERCEPT_INTR (1u << 0)
#define VMCB_INTERCEPT_VINTR (1u << 4)
#define VMCB_INTERCEPT_IOIO (1u << 27)
#define VMCB_V_TPR 0xfu /* bits 7 to 4 of the guest's task priority */
#define VMCB_V_IRQ (1u << 8)
#define VMCB_V_INTR_PRIO_MAX (0xfu << 16)
#define VMCB_V_IGN_TPR (1u << 20)
#define VMCB_V_INTR_BITS (VMCB_V_IRQ | VMCB_V_INTR_PRIO_MAX | VMCB_V_IGN_TPR)
#define VMCB_V_INTR_MASKING (1u << 24)
#define VMCB_INT_SHADOW (1u << 0)
#define VMCB_EXITINTINFO_VALID (1ull << 31)
#define VMCB_EVENTINJ_VALID (1ull << 31)
#define VMCB_EVENTINJ_TYPE (7ull << 8) /* 0: an interrupt */
#define VMCB_EVENTINJ_SOFT (4ull << 8) /* 4: a software interrupt, as the instruction INT n makes it */
#define VMCB_EVENTINJ_VECTOR 0xffull

enum vmexit_code {
    VMEXIT_CR8_WRITE = 0x18,
    VMEXIT_EXCEPTION = 0x40, /* an exception of vector 0; those of other vectors follow */
    VMEXIT_EXCEPTION_LAST = 0x5f,
    VMEXIT_INTR = 0x60,
    VMEXIT_NMI = 0x61,
    VMEXIT_SMI = 0x62,
    VMEXIT_VINTR = 0x64,
    VMEXIT_CPUID = 0x72,
    VMEXIT_HLT = 0x78,
    VMEXIT_IOIO = 0x7b,
    VMEXIT_MSR = 0x7c,
    VMEXIT_SHUTDOWN = 0x7f, /* a triple fault */
    VMEXIT_VMMCALL = 0x81,
    VMEXIT_NPF = 0x400,
    VMEXIT_END = 0x1000, /* all of AMD's codes are smaller; -1 and the codes that software makes up are larger */
};

/* EXITINFO1 of VMEXIT_IOIO: AMD APM vol. 2, section 15.10.2. */
enum { IOIO_IN = 1 << 0, IOIO_STRING = 1 << 2, IOIO_REP = 1 << 3, IOIO_SIZE_SHIFT = 4, IOIO_PORT_SHIFT = 16 };

#endif
