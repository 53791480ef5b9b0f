"""A program that connects to a socket as often as it can, until a time of `time.monotonic`. Prints how often it was
let in."""

from __future__ import annotations

import socket
import sys
import time

if __name__ == "__main__":
    path, ends = sys.argv[1], float(sys.argv[2])
    let_in = 0
    while time.monotonic() < ends:
        with socket.socket(socket.AF_UNIX) as sock:
            let_in += not sock.connect_ex(path)
    print(f"let in {let_in} times", file=sys.stderr)
