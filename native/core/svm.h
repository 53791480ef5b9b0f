/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AMD's virtualization (SVM): what core asks about a VMCB. Source: AMD APM vol. 2, chapter 15 and appendix B. */
#ifndef OOB_SVM_H
#define OOB_SVM_H

#include "virt.h"

extern const struct oob_virt oob_svm;

#endif
