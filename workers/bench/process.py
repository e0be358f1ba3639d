"""What the measured worker processes share: they say when they serve, and end when their standard input does."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Final

READY: Final = b"ready\n"


async def told() -> AsyncIterator[str]:
    """Say that the worker serves, then give each line that the driver writes, until it writes no more."""
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    # Nobody reads further: what is printed later goes to the log.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield line.decode().strip()
