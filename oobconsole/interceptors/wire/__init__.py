"""The wire between a native half and the server: a sans-I/O codec for `native/include/oob_wire.h`.

Bytes go in, and events come out. docs/wire-protocol.md says what the frames mean.
"""

from oobconsole.interceptors.wire.decoder import Decoder as Decoder
from oobconsole.interceptors.wire.encoder import encode_answer as encode_answer
from oobconsole.interceptors.wire.encoder import encode_attention as encode_attention
from oobconsole.interceptors.wire.encoder import encode_hello as encode_hello
from oobconsole.interceptors.wire.encoder import encode_irq as encode_irq
from oobconsole.interceptors.wire.encoder import encode_publish as encode_publish
from oobconsole.interceptors.wire.encoder import encode_ready as encode_ready
from oobconsole.interceptors.wire.encoder import encode_resume as encode_resume
from oobconsole.interceptors.wire.encoder import encode_welcome as encode_welcome
from oobconsole.interceptors.wire.frames import ACCESS as ACCESS
from oobconsole.interceptors.wire.frames import ANSWER as ANSWER
from oobconsole.interceptors.wire.frames import ATTENTION as ATTENTION
from oobconsole.interceptors.wire.frames import CONTEXT_APPEARED as CONTEXT_APPEARED
from oobconsole.interceptors.wire.frames import CONTEXT_GONE as CONTEXT_GONE
from oobconsole.interceptors.wire.frames import GAP as GAP
from oobconsole.interceptors.wire.frames import HEADER as HEADER
from oobconsole.interceptors.wire.frames import HELLO as HELLO
from oobconsole.interceptors.wire.frames import IMAGE as IMAGE
from oobconsole.interceptors.wire.frames import IRQ as IRQ
from oobconsole.interceptors.wire.frames import PORT_RANGE as PORT_RANGE
from oobconsole.interceptors.wire.frames import POSTED as POSTED
from oobconsole.interceptors.wire.frames import PUBLISH as PUBLISH
from oobconsole.interceptors.wire.frames import READ_SERVED as READ_SERVED
from oobconsole.interceptors.wire.frames import RESUME as RESUME
from oobconsole.interceptors.wire.frames import STATS_FRAME as STATS_FRAME
from oobconsole.interceptors.wire.frames import WELCOME as WELCOME
from oobconsole.interceptors.wire.frames import Access as Access
from oobconsole.interceptors.wire.frames import Announced as Announced
from oobconsole.interceptors.wire.frames import ContextAppeared as ContextAppeared
from oobconsole.interceptors.wire.frames import ContextGone as ContextGone
from oobconsole.interceptors.wire.frames import Event as Event
from oobconsole.interceptors.wire.frames import Gap as Gap
from oobconsole.interceptors.wire.frames import Hello as Hello
from oobconsole.interceptors.wire.frames import PortRange as PortRange
from oobconsole.interceptors.wire.frames import Posted as Posted
from oobconsole.interceptors.wire.frames import ReadServed as ReadServed
from oobconsole.interceptors.wire.frames import Stats as Stats
from oobconsole.interceptors.wire.numbers import CONTEXTS_MAX as CONTEXTS_MAX
from oobconsole.interceptors.wire.numbers import FRAME_MAX as FRAME_MAX
from oobconsole.interceptors.wire.numbers import IMAGES_MAX as IMAGES_MAX
from oobconsole.interceptors.wire.numbers import LATENCY_BUCKETS as LATENCY_BUCKETS
from oobconsole.interceptors.wire.numbers import MAGIC as MAGIC
from oobconsole.interceptors.wire.numbers import POSTED_MAX as POSTED_MAX
from oobconsole.interceptors.wire.numbers import RANGES_MAX as RANGES_MAX
from oobconsole.interceptors.wire.numbers import REGISTERS as REGISTERS
from oobconsole.interceptors.wire.numbers import STATS as STATS
from oobconsole.interceptors.wire.numbers import STATS_MAX as STATS_MAX
from oobconsole.interceptors.wire.numbers import VALUE_MAX as VALUE_MAX
from oobconsole.interceptors.wire.numbers import VERSION as VERSION
from oobconsole.interceptors.wire.numbers import Capability as Capability
from oobconsole.interceptors.wire.numbers import FrameType as FrameType
from oobconsole.interceptors.wire.numbers import GoneReason as GoneReason
from oobconsole.interceptors.wire.numbers import IrqMode as IrqMode
