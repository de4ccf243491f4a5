"""Work in a thread while the event loop goes on; cancelling leaves no file behind."""

import asyncio
import sys

import imgcore


async def pack(source: str, dest: str, seconds: float) -> imgcore.Report:
    control = imgcore.Control()
    work = asyncio.create_task(asyncio.to_thread(imgcore.pack, source, dest, control=control))
    done, _ = await asyncio.wait({work}, timeout=seconds)
    if not done:
        control.cancel()
    return await work  # raises imgcore.Cancelled


def main(source: str, dest: str, seconds: str = "60") -> None:
    try:
        print(asyncio.run(pack(source, dest, float(seconds))).size)
    except imgcore.Cancelled:
        print("too slow: cancelled")


if __name__ == "__main__":
    main(*sys.argv[1:])
