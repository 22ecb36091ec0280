"""Asks one model over many connections for a while, and writes down every question and answer.

    python steady_traffic.py HOST:PORT PATH BODY CONNECTIONS REQUESTS_A_SECOND SECONDS FILE

Each connection asks at its own even pace, or as fast as it gets answers where REQUESTS_A_SECOND is 0. FILE gets a
line for each answer: when it was sent and received (time.monotonic), its status and its body.
"""

import asyncio
import sys
import time
from pathlib import Path


async def connection(host, port, request, interval, offset, end, answers):
    reader, writer = await asyncio.open_connection(host, port)
    due = time.monotonic() + offset
    while (now := time.monotonic()) < end:
        if interval:
            await asyncio.sleep(max(0.0, due - now))
            due = max(due + interval, time.monotonic() - interval)
        sent = time.monotonic()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(int(length.partition(b":")[2]))
        answers.append((sent, time.monotonic(), int(head[9:12]), body))
    writer.close()


async def main(address, path, body, connections, rate, seconds, file):
    host, _, port = address.partition(":")
    request = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
    interval = int(connections) / float(rate) if float(rate) else 0.0
    end = time.monotonic() + float(seconds)
    answers = []
    await asyncio.gather(
        *(
            connection(host, int(port), request, interval, interval * i / int(connections), end, answers)
            for i in range(int(connections))
        )
    )
    lines = (
        b"%r %r %d %b\n" % (sent, received, status, b"".join(body.split())) for sent, received, status, body in answers
    )
    Path(file).write_bytes(b"".join(lines))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
