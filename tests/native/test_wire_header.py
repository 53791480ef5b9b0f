"""The C headers and Python describe the same bytes, and have the same limits: the headers are compiled and asked."""

from __future__ import annotations

import subprocess
from pathlib import Path
from struct import Struct

import pytest

from oobconsole.config import places
from oobconsole.interceptors import wire
from tests.stack.nested import ROOT

STRUCTS = {
    "header": (wire.HEADER, ["length", "type", "flags", "context"]),
    "hello": (wire.HELLO, ["magic", "version", "ranges", "capabilities", "machine", "instance", "range"]),
    "welcome": (wire.WELCOME, ["magic", "version", "ranges", "capabilities", "reserved", "range"]),
    "access": (wire.ACCESS, ["seq", "port", "size", "direction", "value", "vcpu", "reserved"]),
    "answer": (wire.ANSWER, ["seq", "value"]),
    "posted": (wire.POSTED, ["port", "count", "vcpu", "reserved"]),
    "context_appeared": (wire.CONTEXT_APPEARED, ["vmcb", "ncr3", "reserved"]),
    "context_gone": (wire.CONTEXT_GONE, ["reason", "reserved"]),
    "gap": (wire.GAP, ["port", "reserved", "reserved2", "lost"]),
    "stats": (wire.STATS_FRAME, ["count", "reserved", "counter"]),
    "irq": (wire.IRQ, ["line", "mode", "reserved", "accesses"]),
    "read_served": (wire.READ_SERVED, ["port", "value", "reserved", "number"]),
    "attention": (wire.ATTENTION, ["attended", "reserved"]),
    "resume": (wire.RESUME, ["port", "reserved", "reserved2", "received"]),
}
#: Structures that stand in a frame, or that others stand behind: all their fields.
PARTS = {
    "port_range": (wire.PORT_RANGE, ["first", "length", "lines", "widths", "posted"]),
    "image": (wire.IMAGE, ["valid", "effects", "value"]),
}
#: PUBLISH is as long as it has images.
PUBLISH_FIELDS = ["accesses", "number", "port", "count", "reserved"]
CONSTANTS = {
    "OOB_MAGIC": wire.MAGIC,
    "OOB_VERSION": wire.VERSION,
    "OOB_FRAME_MAX": wire.FRAME_MAX,
    "OOB_POSTED_MAX": wire.POSTED_MAX,
    "OOB_CONTEXTS_MAX": wire.CONTEXTS_MAX,
    "OOB_STATS_MAX": wire.STATS_MAX,
    "OOB_RANGES_MAX": wire.RANGES_MAX,
    "OOB_DEVICES_MAX": places.DEVICES_MAX,
    "OOB_RANGE_PORTS_MAX": places.RANGE_PORTS_MAX,
    "OOB_DEVICE_LINES_MAX": places.DEVICE_LINES_MAX,
    "OOB_REGISTERS": wire.REGISTERS,
    "OOB_IMAGES_MAX": wire.IMAGES_MAX,
    "OOB_STAT_LATENCY": len(wire.STATS),
    "OOB_STAT_COUNT": len(wire.STATS) + wire.LATENCY_BUCKETS,
    **{f"OOB_{t.name}": t.value for t in wire.FrameType},
    **{f"OOB_CAP_{c.name}": c.value for c in wire.Capability},
    **{f"OOB_IRQ_{m.name}": m.value for m in wire.IrqMode},
    **{f"OOB_GONE_{r.name}": r.value for r in wire.GoneReason},
    **{f"OOB_STAT_{name.upper()}": i for i, name in enumerate(wire.STATS)},
}


def offsets(struct: Struct, skip: int) -> list[int]:
    """Where each field of a struct format begins, past the first `skip`."""
    out: list[int] = []
    fields: list[str] = []
    number = ""
    for char in struct.format[1:]:
        if char.isdigit():
            number += char
            continue
        fields += [number + char] if char in "s" or not number else [char] * int(number)
        number = ""
    at = 0
    for field in fields:
        out.append(at)
        at += Struct("<" + field).size
    return out[skip:]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    lines = [f'printf("{name} %lld\\n", (long long){name});' for name in CONSTANTS]
    for name, (_, fields) in (STRUCTS | PARTS | {"publish": (wire.PUBLISH, [*PUBLISH_FIELDS, "image"])}).items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct oob_{name}));')
        lines += [f'printf("{name}.{f} %zu\\n", offsetof(struct oob_{name}, {f}));' for f in fields]
    folder: Path = tmp_path_factory.mktemp("header")
    source, program = folder / "ask.c", folder / "ask"
    body = "\n".join(lines)
    source.write_text(
        '#include <stddef.h>\n#include <stdio.h>\n#include "oob_wire.h"\n#include "bus.h"\n'
        f"int main(void) {{\n{body}\nreturn 0;\n}}\n"
    )
    flags = [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        *(f"-I{ROOT / 'native' / part}" for part in ("include", "core")),
    ]
    subprocess.run(["cc", *flags, "-o", str(program), str(source)], check=True)
    out = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in out.splitlines())}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants(asked: dict[str, int], name: str) -> None:
    assert asked[name] == CONSTANTS[name]


def test_the_configuration_has_the_limits_of_the_wire() -> None:
    assert places.RANGES_MAX == wire.RANGES_MAX
    assert places.RANGE_PORTS_MAX == wire.REGISTERS, "an image describes a whole range"


@pytest.mark.parametrize("name", STRUCTS)
def test_layouts(asked: dict[str, int], name: str) -> None:
    struct, fields = STRUCTS[name]
    assert asked[name] == struct.size
    begin = offsets(struct, 0 if name == "header" else 4)
    assert {f: asked[f"{name}.{f}"] for f in fields} == dict(zip(fields, begin, strict=False))


@pytest.mark.parametrize("name", PARTS)
def test_layouts_of_parts(asked: dict[str, int], name: str) -> None:
    struct, fields = PARTS[name]
    assert asked[name] == struct.size
    assert {f: asked[f"{name}.{f}"] for f in fields} == dict(zip(fields, offsets(struct, 0), strict=True))


def test_layout_of_publish(asked: dict[str, int]) -> None:
    assert asked["publish.image"] == wire.PUBLISH.size
    begin = dict(zip(PUBLISH_FIELDS, offsets(wire.PUBLISH, 4), strict=True))
    assert {f: asked[f"publish.{f}"] for f in PUBLISH_FIELDS} == begin
