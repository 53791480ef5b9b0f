"""Looks at what lies at a path, in a thread: a file system of the network that is away keeps whoever looks waiting.

Whoever waits for something looks more than twice a second, and a thousand may wait. So those who look into one folder
within a moment are looked for together. What hangs is mostly a whole folder, so each folder has one thread, and only
while somebody looks.
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Final

from oobconsole.supervise import Tasks
from oobconsole.threads import in_thread

#: How many seconds a look waits for others that look into the same folder.
GATHER_SECONDS: Final = 0.02

_Key = tuple[asyncio.AbstractEventLoop, str]
_folders: Final[dict[_Key, _Folder]] = {}
_rounds: Final = Tasks()


async def look(path: str | Path) -> object:
    """Return an identity of what lies at a path: something else there has another one. None: nothing is there.

    This waits as long as the path's file system does not answer, perhaps for ever. Nothing else waits meanwhile but
    looks into the same folder.
    """
    text = os.fspath(path)
    key = asyncio.get_running_loop(), os.path.dirname(text)  # noqa: PTH120 - a thousand of them a second
    if (folder := _folders.get(key)) is None:
        folder = _folders[key] = _Folder(key)
    return await folder.ask(text)


def identity(path: str) -> object:
    """Return what `look` returns, and block as long as the file system does not answer."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a thousand of them a second
    except OSError:
        return None
    # a socket's inode may be used again at once; a tty's times change with what passes through it
    changed = found.st_ctime_ns if stat.S_ISSOCK(found.st_mode) else 0
    return found.st_dev, found.st_ino, found.st_rdev, changed


class _Folder:
    """The looks into one folder. It begins with the first one, and ends when no look is left.

    Args:
        key: where it stands in `_folders`.
    """

    def __init__(self, key: _Key) -> None:
        self._key = key
        self._asked: list[tuple[str, asyncio.Future[object]]] = []
        _rounds.start(self._run(), f"look into {key[1]}")

    def ask(self, path: str) -> asyncio.Future[object]:
        """Return what will be the path's identity."""
        asked: asyncio.Future[object] = self._key[0].create_future()
        self._asked.append((path, asked))
        return asked

    async def _run(self) -> None:
        try:
            await asyncio.sleep(GATHER_SECONDS)
            while self._asked:
                asked, self._asked = self._asked, []
                await self._look(asked)
                await asyncio.sleep(GATHER_SECONDS)
        finally:
            del _folders[self._key]

    async def _look(self, asked: list[tuple[str, asyncio.Future[object]]]) -> None:
        paths = {path for path, future in asked if not future.done()}
        try:
            found = await in_thread(lambda: {path: identity(path) for path in paths}, f"look into {self._key[1]}")
        except OSError:  # no thread is left: whoever looks finds out by connecting
            found = {}
        for path, future in asked:
            if not future.done():
                future.set_result(found.get(path))
