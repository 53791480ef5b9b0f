#!/usr/bin/env bash
# Compiles native/core as an object of a Linux kernel module, with the headers of Debian's kernel, and looks whether it
# asks for anything but what native/core/platform.h names. Nothing is loaded: there is no module around it yet.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$(dirname "$0")/../.." || exit 1
headers=$(find /usr/src -maxdepth 1 -name 'linux-headers-*-cloud-amd64' | sort -V | tail -1)
[ -n "$headers" ] || fail "there are no headers of a Debian kernel in /usr/src: run 'tests/stack/packages.sh kernel'."

# Kbuild writes beside the sources: so it gets a copy of its own.
build=$PWD/build/kernel
rm -rf "$build"
mkdir -p "$build/core"
cp native/core/*.[ch] native/core/Kbuild "$build/core"
cp -r native/include "$build"
make -s -j2 -C "$headers" M="$build/core" oob_core.o || fail "native/core does not compile in a kernel."

# What a kernel gives, what its compiler calls, and the host's functions.
gives='memcpy|memmove|memset|memcmp'
compiler='__fentry__|__stack_chk_fail|__x86_return_thunk|__x86_indirect_thunk_[a-z0-9]+|__ubsan_.*|__warn_printk|fortify_panic'
host=$(grep -oE '\boob_(reg|phys|now|random|alloc|free|wake|log|channel)[a-z_]*\(' native/core/platform.h | tr -d '(' | sort -u |
  paste -sd'|')
unknown=$(nm -u "$build/core/oob_core.o" | awk '{print $2}' | grep -vxE "$gives|$compiler|$host" || true)
[ -z "$unknown" ] || fail "native/core asks for what platform.h does not name: $unknown"
say "native/core compiles with $(basename "$headers"): $(size "$build/core/oob_core.o" | awk 'NR == 2 {print $1}') bytes of code"
