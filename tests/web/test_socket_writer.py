"""The way out on a socket, with real sockets and Tornado's stream."""

import asyncio
import socket
import ssl

import pytest
from tornado import iostream

from gantt_tornado.web.socket_writer import MOST_REPLAYS, SocketWriter

pytestmark = pytest.mark.gen_test

#: More than the kernel takes of a peer that does not read.
MUCH = b"x" * 4_000_000


class Line:
    """Two ends of a line, ours with a writer; what the peer had can be read."""

    def __init__(self, limit):
        near, self.far = socket.socketpair()
        self.stream = iostream.IOStream(near)
        self.peer = iostream.IOStream(self.far)
        self.complaints = 0
        self.writer = SocketWriter(self.stream, limit, self.complain)

    def complain(self):
        self.complaints += 1

    async def had(self, size):
        return await self.peer.read_bytes(size)

    def close(self):
        self.stream.close()
        self.peer.close()


@pytest.fixture
def lay(io_loop):
    lines = []

    def lay(limit=1 << 30):
        lines.append(Line(limit))
        return lines[-1]

    yield lay
    for line in lines:
        line.close()


@pytest.fixture
def line(lay):
    return lay()


class TestStraight:
    async def test_what_is_sent_arrives(self, line):
        line.writer.send(b"frame")
        assert await line.had(5) == b"frame"

    async def test_it_is_with_the_kernel_at_once(self, line):
        line.writer.send(b"frame")
        assert line.far.recv(5) == b"frame"
        assert not line.stream.writing()

    async def test_nothing_overtakes_what_the_stream_still_holds(self, line):
        line.stream.write(MUCH)
        # The kernel has room again, and the stream does not know yet.
        read = sum(len(line.far.recv(65536)) for _ in range(3))
        line.writer.send(b"frame")
        assert await line.had(len(MUCH) - read + 5) == MUCH[read:] + b"frame"

    async def test_after_the_stream_has_written_all_it_goes_straight_again(self, line):
        line.writer.send(MUCH)
        assert await line.had(len(MUCH)) == MUCH
        line.writer.send(b"frame")
        assert not line.stream.writing()
        assert await line.had(5) == b"frame"

    async def test_what_the_kernel_did_not_take_follows(self, line):
        line.writer.send(MUCH)
        line.writer.send(b"frame")
        assert await line.had(len(MUCH) + 5) == MUCH + b"frame"

    async def test_a_kernel_that_takes_nothing_loses_nothing(self, line):
        filled = 0
        while True:
            try:
                filled += line.stream.socket.send(b"y" * 65536)
            except BlockingIOError:
                break
        line.writer.send(b"frame")
        assert await line.had(filled + 5) == b"y" * filled + b"frame"

    async def test_many_small_ones_keep_their_order_past_a_full_kernel(self, line):
        frames = [b"%08d" % number for number in range(10_000)]
        for frame in frames:
            line.writer.send(frame)
        assert line.stream.writing()
        assert await line.had(80_000) == b"".join(frames)


class TestLimit:
    async def test_who_lets_too_much_wait_is_complained_of(self, lay):
        line = lay(limit=1000)
        line.writer.send(MUCH)
        assert line.complaints == 1

    async def test_what_has_gone_out_does_not_count(self, lay):
        line = lay(limit=len(MUCH))
        for _ in range(3):
            line.writer.send(MUCH)
            assert await line.had(len(MUCH)) == MUCH
        assert line.complaints == 0

    async def test_a_replay_does_not_count(self, lay):
        line = lay(limit=1000)
        line.writer.replay(iter((MUCH,)))
        assert line.complaints == 0
        assert await line.had(len(MUCH)) == MUCH


class TestEnd:
    async def test_after_the_end_nothing_goes_out(self, line):
        line.writer.end()
        line.writer.send(b"frame")
        line.writer.replay(iter((b"frame",)))
        line.stream.write(b"goodbye")
        assert await line.had(7) == b"goodbye"
        assert not line.writer.is_replaying

    async def test_what_waits_at_the_end_still_goes_out(self, line):
        line.writer.send(MUCH)
        line.writer.end()
        assert await line.had(len(MUCH)) == MUCH

    async def test_a_closed_stream_is_no_error(self, line):
        line.stream.close()
        line.writer.send(b"frame")
        line.writer.replay(iter((b"frame",)))

    async def test_a_peer_that_vanished_closes_its_own_stream_alone(self, line, lay):
        other = lay()
        line.peer.close()
        for each in (line, other):
            each.writer.send(b"frame")
        assert line.stream.closed() and not other.stream.closed()
        assert await other.had(5) == b"frame"


class TestReplays:
    async def test_a_replay_comes_in_its_order_before_what_is_sent_from_then_on(self, line):
        line.writer.replay(iter((b"one,", b"two,")))
        line.writer.send(b"live,")
        line.writer.replay(iter((b"three,",)))
        line.writer.send(b"last.")
        assert await line.had(24) == b"one,two,live,three,last."

    async def test_behind_a_replay_it_goes_straight_again(self, line):
        line.writer.replay(iter((b"one,",)))
        assert await line.had(4) == b"one,"
        while line.writer.is_replaying:
            await asyncio.sleep(0)
        line.stream.write = None
        line.writer.send(b"live")
        assert await line.had(4) == b"live"

    async def test_a_slice_is_made_when_the_one_before_is_gone(self, line):
        made = []

        def slices():
            for number in range(3):
                made.append(number)
                yield MUCH

        line.writer.replay(slices())
        for _ in range(5):
            await asyncio.sleep(0)
        assert made == [0] and line.writer.is_replaying
        await line.had(3 * len(MUCH))
        assert made == [0, 1, 2]

    async def test_what_waits_behind_a_replay_counts(self, lay):
        line = lay(limit=10)
        line.writer.replay(iter((MUCH,)))
        line.writer.send(b"frame")
        assert line.complaints == 0
        line.writer.send(b"frames")
        assert line.complaints == 1

    async def test_what_was_behind_a_replay_counts_no_more(self, lay):
        line = lay(limit=10)
        for _ in range(3):
            line.writer.replay(iter((b"one,",)))
            line.writer.send(b"frame")
            await line.had(9)
            while line.writer.is_replaying or line.writer._unsent:
                await asyncio.sleep(0)
        assert line.complaints == 0

    async def test_who_asks_for_ever_more_is_too_slow(self, line):
        for _ in range(MOST_REPLAYS):
            line.writer.replay(iter((MUCH,)))
        assert line.complaints == 0
        line.writer.replay(iter((MUCH,)))
        assert line.complaints == 1

    async def test_one_that_fails_ends_its_own_stream_alone(self, line, logged_errors):
        line.writer.replay(iter(lambda: 1 / 0, None))
        assert line.stream.closed() and "a replay failed" in logged_errors.text

    async def test_after_the_end_no_slice_follows(self, line):
        line.writer.replay(iter((b"one,", b"two,")))
        line.writer.end()
        line.stream.write(b"goodbye")
        assert await line.had(11) == b"one,goodbye"


class TestThroughTheStream:
    """Where its queue cannot be looked into, all goes through the stream."""

    @pytest.fixture
    def written(self, monkeypatch):
        written = []

        def write(stream, data):
            written.append(bytes(data))
            return asyncio.Future()

        monkeypatch.setattr(iostream.IOStream, "write", write)
        return written

    @pytest.mark.parametrize("name", ["_write_buffer", "_buffers"])
    async def test_without_tornados_private_names(self, line, written, name):
        stream = line.stream
        with pytest.MonkeyPatch.context() as patch:
            patch.delattr(stream if name == "_write_buffer" else stream._write_buffer, name)
            SocketWriter(stream, 1000, line.complain).send(b"frame")
        assert written == [b"frame"]

    async def test_with_tls(self, written):
        near, far = socket.socketpair()
        context = ssl.create_default_context()
        wrapped = context.wrap_socket(near, do_handshake_on_connect=False, server_hostname="here")
        stream = iostream.SSLIOStream(wrapped)
        SocketWriter(stream, 1000, lambda: None).send(b"frame")
        assert written == [b"frame"]
        stream.close()
        far.close()
