"""Our 16550 as a PCI device of any VMM that speaks vfio-user: QEMU since 10.1, with KVM or TCG.

Sources: qemu/docs/interop/vfio-user.rst, <linux/vfio.h>, PCI Local Bus Specification 3.0; section names as there.
A small process, the keeper, is the device and outlives the server, because QEMU aborts when its device goes:

    QEMU ── vfio-user ──► keeper ── link, one for each port ──► stream.VfioUserStream, in the server
"""
