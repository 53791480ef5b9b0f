"""Runs libvirt's library: its own event loop in one thread, and its blocking calls in other threads.

The library is loaded only if a configuration names libvirt. Why is none of its calls made on our event loop? Even
sending to a "non-blocking" stream waits for a libvirtd that does not read. Sources: libvirt-python;
https://libvirt.org/html/libvirt-libvirt-event.html, libvirt-libvirt-stream.html.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from oobconsole import supervise
from oobconsole.errors import EnvironmentFault

T = TypeVar("T")

#: What to say when the library is missing.
INSTALL: Final = (
    "[[libvirt]] needs libvirt-python, which is not installed here: pip install 'oobconsole[libvirt]' (on Debian "
    "that needs libvirt-dev, gcc, pkg-config and python3-dev; python3-libvirt is the same, packaged)"
)
_lock: Final = threading.Lock()
_loaded: list[Any] = []


class LibvirtFault(OSError):
    """libvirt refuses, or fails. The message is libvirt's own.

    Attributes:
        code: libvirt's number of the error (VIR_ERR_… of virterror.h).
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def load() -> Any:
    """Return the module `libvirt`. At the first call it is imported, and its event loop is started.

    Raises:
        EnvironmentFault: it is not installed; the message says what to install.
    """
    with _lock:
        if not _loaded:
            try:
                library = importlib.import_module("libvirt")
            except ImportError as error:
                raise EnvironmentFault(INSTALL) from error
            library.registerErrorHandler(lambda *_: None, None)  # it would print each error that it raises, too
            library.virEventRegisterDefaultImpl()  # once in a process, before the first connection
            supervise.thread(_run, library, name="libvirt events", forever=True)
            _loaded.append(library)
    return _loaded[0]


def _run(library: Any) -> None:
    while True:
        library.virEventRunDefaultImpl()


def attempt(call: Callable[[], T]) -> T:
    """Make a call of libvirt's and return its result. Raises `LibvirtFault` in place of the library's own error."""
    library = load()
    try:
        return call()
    except library.libvirtError as error:
        text, code = str(error.get_error_message() or error), error.get_error_code()
    # The fault is raised outside of the handler, so that it keeps nothing of `call` alive: when the last reference to
    # a connection goes, that waits for libvirtd.
    raise LibvirtFault(text, -1 if code is None else int(code))


def settle_events() -> None:
    """Wait until libvirt's event thread has let go of every callback that was removed before."""
    library = load()
    passed = threading.Event()

    def passes(timer: int, _: object) -> None:
        library.virEventRemoveTimeout(timer)
        passed.set()

    library.virEventAddTimeout(0, passes, None)
    passed.wait()


def post(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: object) -> None:
    """Have `call` called in the thread of the event loop. If that loop is closed, nothing happens."""
    with contextlib.suppress(RuntimeError):  # the event loop is closed
        loop.call_soon_threadsafe(call, *args)


def awaited_or_not(future: asyncio.Future[T]) -> asyncio.Future[T]:
    """Return the future. Whoever waited for it may have been cancelled: then its exception is nobody's, and asyncio
    must not report that nobody has looked at it."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


def begin(call: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Make a blocking call in a thread of its own, which does not keep the process from ending.

    Returns a future that raises what `call` raises; errors of libvirt's are `LibvirtFault`.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = awaited_or_not(loop.create_future())

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only where T is

    def work() -> None:
        try:
            post(loop, settle, attempt(call), None)
        except Exception as error:  # whatever the error is, whoever waits gets it
            post(loop, settle, None, error.with_traceback(None))

    supervise.thread(work, name=f"libvirt {name}")
    return future
