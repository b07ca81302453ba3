"""The streaming server, over real sockets of this process."""

import asyncio
import contextlib
import socket
import struct

import pytest

from sim.pocket.protocol import stream_server
from sim.pocket.protocol.stream_server import StreamServer

STREAM = 7


@contextlib.asynccontextmanager
async def running():
    listener = socket.create_server(("127.0.0.1", 0))
    server = StreamServer(listener.getsockname()[1])
    server.start(listener)
    try:
        yield server, listener.getsockname()[1]
    finally:
        server.close()


async def subscribe(server, port, stream_id=STREAM):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(struct.pack("<I", stream_id))
    while not server.has_subscribers(stream_id):
        await asyncio.sleep(0.001)
    return reader, writer


async def message(reader):
    (size,) = struct.unpack("<I", await reader.readexactly(4))
    return await reader.readexactly(size)


async def close(*writers):
    for writer in writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def test_the_token_names_stream_port_and_protocol():
    token = StreamServer(2001).token(5)
    assert len(token) == 24
    assert struct.unpack("<IHBB", token[:8]) == (5, 2001, 1, 0)
    assert token[8:] == bytes(16)


async def test_every_subscriber_of_a_stream_gets_its_messages_and_no_other():
    async with running() as (server, port):
        first, first_writer = await subscribe(server, port)
        second, second_writer = await subscribe(server, port)
        other, other_writer = await subscribe(server, port, 8)
        await asyncio.sleep(0.05)
        server.publish(STREAM, [b"abc", b"def"])
        server.publish(8, [b"x"])
        server.publish(9, [b"nobody"])
        assert await message(first) == await message(second) == b"abcdef"
        assert await message(other) == b"x"
        await close(first_writer, second_writer, other_writer)


async def test_what_subscribed_before_a_tick_counts_for_it_though_the_loop_has_not_looked_yet():
    async with running() as (server, port):
        with socket.create_connection(("127.0.0.1", port), timeout=180.0) as subscriber:
            subscriber.sendall(struct.pack("<I", STREAM))
            server.settle()
            server.publish(STREAM, [b"tick"])
            assert subscriber.recv(8) == b"\x04\0\0\0tick"


async def test_a_new_subscriber_begins_with_the_greeting_of_its_stream():
    async with running() as (server, port):
        published = [b"first"]
        server.greet(STREAM, lambda: tuple(published))
        reader, writer = await subscribe(server, port)
        assert await message(reader) == b"first"
        published.append(b"second")
        later, later_writer = await subscribe(server, port)
        assert await message(later) == b"firstsecond"
        server.publish(STREAM, [b"x"])
        assert await message(reader) == await message(later) == b"x"
        await close(writer, later_writer)


async def test_a_slow_reader_gets_everything_in_order_while_ticks_wait_for_it(monkeypatch):
    monkeypatch.setattr(stream_server, "PATIENCE_S", 1e6)
    async with running() as (server, port):
        reader, writer = await subscribe(server, port)
        parts = [bytes([number]) * (1 << 20) for number in range(30)]

        async def publish():
            for part in parts:
                while server.holds_up():
                    await asyncio.sleep(0.001)
                server.publish(STREAM, [part])

        task = asyncio.create_task(publish())
        for part in parts:
            assert await message(reader) == part
        await task
        await close(writer)


async def test_a_reader_that_never_reads_loses_whole_messages_and_then_goes_on(monkeypatch):
    monkeypatch.setattr(stream_server, "PATIENCE_S", 0.05)
    async with running() as (server, port):
        reader, writer = await subscribe(server, port)
        writer.transport.pause_reading()
        part = bytes(1 << 20)
        for number in range(60):
            while server.holds_up():
                await asyncio.sleep(0.01)
            server.publish(STREAM, [struct.pack("<I", number), part])
        writer.transport.resume_reading()
        received = []
        while True:
            server.publish(STREAM, [b"end"])
            data = await message(reader)
            if data == b"end":
                break
            assert len(data) == 4 + len(part)
            received.append(struct.unpack_from("<I", data)[0])
        assert received == sorted(received)
        assert 0 < len(received) < 60
        await close(writer)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1", b"12345"])
async def test_who_writes_more_than_a_subscription_is_no_client(data):
    async with running() as (_server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read(1) == b""
        await close(writer)


async def test_who_does_not_subscribe_in_time_is_no_client(monkeypatch):
    monkeypatch.setattr(stream_server, "_SUBSCRIBE_WITHIN_S", 0.05)
    async with running() as (_server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x01\x00")
        assert await reader.read(1) == b""
        await close(writer)


async def test_a_subscription_may_arrive_byte_by_byte():
    async with running() as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in struct.pack("<I", STREAM):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.005)
        while not server.has_subscribers(STREAM):
            await asyncio.sleep(0.001)
        server.publish(STREAM, [b"hello"])
        assert await message(reader) == b"hello"
        await close(writer)


async def test_a_stream_without_readers_has_no_subscribers():
    async with running() as (server, port):
        _reader, writer = await subscribe(server, port)
        await close(writer)
        while server.has_subscribers(STREAM):
            await asyncio.sleep(0.001)
