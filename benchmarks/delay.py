"""A TCP relay on loopback that delays everything, like a distant server."""

import asyncio
import sys

_CHUNK = 1 << 16


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    """Write each chunk *seconds* after it was read, in order, without delaying the next."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    while data := await reader.read(_CHUNK):
        loop.call_later(seconds, writer.write, data)
    loop.call_later(seconds, done.set)
    await done.wait()
    writer.close()


async def main(port: int, milliseconds: float, listen: int) -> None:
    """Relay from *listen* to loopback *port*; a round trip takes *milliseconds* longer."""
    seconds = milliseconds / 2000

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            _carry(reader, far_writer, seconds),
            _carry(far_reader, writer, seconds),
            return_exceptions=True,
        )

    async with await asyncio.start_server(relay, "127.0.0.1", listen) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
