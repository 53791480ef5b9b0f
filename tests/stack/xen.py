"""The nested stack with Xen as L1: Debian's hypervisor with its dom0, and one domU that is a whole PC ("hvm")."""

from __future__ import annotations

from tests.stack.nested import CACHE, NestedStack

XEN_WORDS = "console=com1 com1=115200,8n1 dom0_mem=768M,max:768M"


class XenStack(NestedStack):
    """The same as its base class, except for what L0 boots. dom0 has one vCPU, and the domU has another one."""

    def _boot(self) -> list[str]:
        images = CACHE / "xen"
        if not images.exists():
            raise FileNotFoundError(f"{images} is not there yet: 'make real' builds it")
        words = self._append.replace("console=ttyS0", "console=hvc0")  # which is the console that Xen gives to dom0
        dom0 = f"{images / 'vmlinuz'} {words},{images / 'dom0.cpio'}"
        return ["-kernel", str(images / "xen"), "-append", XEN_WORDS, "-initrd", dom0]
