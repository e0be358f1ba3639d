"""The worker process of the product: ``python -m workers.bench.serve_product [cached cases]``.

It is the worker of ``omhand dev``, which has its settings from the environment; only what starts and ends it is ours.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence

from workers import logs
from workers.bench.process import told
from workers.settings import read_settings
from workers.worker import connect, register_search_attributes, serving


async def serve(options: Mapping[str, int]) -> None:
    """Serve cases until standard input ends."""
    settings = read_settings()
    logs.configure(settings.log_format, settings.log_level)
    client = await connect(settings)
    await register_search_attributes(client)
    async with serving(client, settings, **options):
        async for _ in told():
            pass


def main(arguments: Sequence[str]) -> None:
    """Serve until standard input ends."""
    asyncio.run(serve({"cached_cases": int(arguments[0])} if arguments else {}))


if __name__ == "__main__":
    main(sys.argv[1:])
