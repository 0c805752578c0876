"""Frames: each byte once and in order, wherever a follower is killed and comes back (T34)."""

from __future__ import annotations

import random
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobworker.model import Cause, End, Gap, Stream
from jobworker.output import frames, tail
from jobworker.output.frames import Frame, FrameReader, Selection
from jobworker.supervisor import records
from support import native
from support.pump_rig import ERR, OUT, Rig, rig

pytestmark = native.needs_compiler

STREAMS = (Stream.STDOUT, Stream.STDERR)
LATER = 1 << 62


class Follower:
    """Reads frames now and then, and comes back by the number of the last one."""

    def __init__(self, rig: Rig, most: int) -> None:
        self.rig = rig
        self.most = most
        self.replay = FrameReader()
        self.kinds: dict[int, int] = {}
        self.seq = 0

    def come_back(self) -> None:
        self.replay = FrameReader(Selection(after=self.seq))

    def read(self, end: End | None = None) -> bool:
        """One reader's worth; whether there was anything."""
        with self.rig.output() as reader:
            found = self.replay.read(reader, end, self.most)
        for frame in found:
            self.check(frame)
        return bool(found)

    def check(self, frame: Frame) -> None:
        length = len(frame.data) + frame.dropped
        assert length > 0
        assert bool(frame.data) != bool(frame.dropped)
        assert frame.seq == self.seq + length
        self.seq = frame.seq
        if frame.data and self.most == 1:  # one frame at once, so the place is known
            at = self.replay.position.at[frame.stream]
            number = STREAMS.index(frame.stream)
            assert frame.data == self.rig.streams[number][at - len(frame.data) : at]
        if frame.data:
            for number in range(frame.seq - length, frame.seq):
                self.kinds[number] = frame.stream.value


def ended(it: Rig) -> End:
    it.pump.finish()
    gaps = []
    for number, stream in enumerate(STREAMS):
        gaps += [Gap(stream, *gap) for gap in it.pump.gaps(number)]
    return End(Cause.EXITED, datetime.now(UTC), exit_code=0, gaps=tuple(gaps))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from([OUT, ERR]), st.integers(1, 300)),
        st.tuples(st.just("read"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("come back"), st.integers(0, 2), st.just(0)),
    ),
    min_size=1,
    max_size=80,
)
CAPS = st.one_of(st.none(), st.integers(1, 40), st.integers(41, 3000))
FATES = st.lists(st.sampled_from(["", "", "", "open", "error", "part"]), max_size=100)


@given(CAPS, STEPS, FATES)
@settings(max_examples=300, deadline=None)
def test_each_byte_comes_once_to_whoever_is_killed_and_comes_back(
    cap: int | None, steps: list[tuple[str, int, int]], fates: list[str]
) -> None:
    """Three followers that read unlike amounts see one order; what is lost is told."""
    with rig(cap) as it:
        it.disk.fail(fates)
        followers = [Follower(it, most) for most in (1, 100, 1 << 20)]
        for what, which, length in steps:
            if what == "write":
                it.number(which, length)
            elif what == "read":
                followers[which].read()
            else:
                followers[which].come_back()
        end = ended(it)
        for follower in followers:
            while follower.read(end):
                pass
            assert follower.seq == it.total
        first, *others = followers
        for other in others:
            both = first.kinds.keys() & other.kinds.keys()
            assert all(first.kinds[number] == other.kinds[number] for number in both)
        if cap is None and not fates:
            assert sorted(first.kinds) == list(range(it.total))


def test_a_thousand_kills_at_random_give_the_same_bytes() -> None:
    chance = random.Random(20261124)
    with rig(None) as it:
        for _ in range(2000):
            it.number(chance.choice((OUT, ERR)), chance.randint(1, 40))
        end = ended(it)
        streams = [bytearray(), bytearray()]
        seq = 0
        for _ in range(1000):
            replay = FrameReader(Selection(after=seq))
            with it.output() as reader:
                for frame in replay.read(reader, end, chance.choice((1, 10, 40))):
                    streams[STREAMS.index(frame.stream)] += frame.data
                    seq = frame.seq
        follower = Follower(it, 1 << 20)
        follower.seq = seq
        follower.come_back()
        with it.output() as reader:
            while found := follower.replay.read(reader, end, 1 << 20):
                for frame in found:
                    streams[STREAMS.index(frame.stream)] += frame.data
        assert [bytes(stream) for stream in streams] == it.streams


def all_frames(it: Rig, selection: Selection, end: End | None = None) -> list[Frame]:
    replay = FrameReader(selection)
    found: list[Frame] = []
    with it.output() as reader:
        while more := replay.read(reader, end, 1000):
            found += more
    return found


def test_many_small_writes_make_few_frames_and_a_large_one_many() -> None:
    with rig(None) as it:
        for _ in range(1000):
            it.write(OUT, b"x")
        assert len(all_frames(it, Selection())) < 500
        it.write(ERR, b"y" * 65536)
        it.write(ERR, b"y" * 65536)
        sizes = [len(frame.data) for frame in all_frames(it, Selection(after=1000))]
        assert sizes == [65536, 65536]


def test_a_stream_by_itself_keeps_its_numbers() -> None:
    with rig(None) as it:
        it.write(OUT, b"one")
        it.write(ERR, b"two")
        it.write(OUT, b"three")
        errors = all_frames(it, Selection(streams=(Stream.STDERR,)))
        assert [(frame.seq, frame.data) for frame in errors] == [(6, b"two")]
        last = all_frames(it, Selection(after=7, streams=(Stream.STDOUT,)))
        assert [(frame.seq, frame.data) for frame in last] == [(11, b"hree")]


def test_by_time() -> None:
    with rig(None) as it:
        it.write(OUT, b"a")
        it.write(ERR, b"b")
        it.write(OUT, b"c")
        moment = all_frames(it, Selection())[1].time
        since = all_frames(it, Selection(since=moment))
        assert [frame.data for frame in since] == [b"b", b"c"]
        until = Selection(until=moment)
        assert [frame.data for frame in all_frames(it, until)] == [b"a"]


def test_a_character_is_not_cut_where_its_rest_is_there() -> None:
    text = ("ä" * 40_000).encode()
    with rig(None) as it:
        it.write(OUT, b"x" + text[:60_000])
        it.write(OUT, text[60_000:])
        for frame in all_frames(it, Selection()):
            frame.data.decode()


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"", 0),
        (b"a", 1),
        (b"ab\xc3", 2),
        (b"ab\xc3\xa4", 4),
        (b"ab\xe2\x82", 2),
        (b"ab\xe2\x82\xac", 5),
        (b"ab\xf0\x9f\x98", 2),
        (b"ab\xf0\x9f\x98\x80", 6),
        (b"\x80\x80\x80\x80", 4),
        (b"\xff", 1),
        (b"\xc3", 0),
    ],
)
def test_whole_characters(data: bytes, whole: int) -> None:
    assert frames.whole_characters(data) in (whole, len(data) if whole == 0 else whole)


def test_millions_of_entries_are_passed_without_a_look_at_each() -> None:
    with rig(None) as it:
        for number in range(30_000):
            it.write(number % 2, b"xy")
        replay = FrameReader(Selection(after=59_990))
        with it.output() as reader:
            found = replay.read(reader, None, LATER)
        assert [frame.seq for frame in found][-1] == 60_000
        assert sum(len(frame.data) for frame in found) == 10


def naive_tail(data: bytes, lines: int) -> int:
    parts = data.splitlines(keepends=True)
    return len(b"".join(parts[: max(0, len(parts) - lines)]))


@given(
    st.lists(
        st.tuples(st.sampled_from([OUT, ERR]), st.sampled_from([b"a\n", b"bb", b"\n", b"c\nd\n"]))
    ),
    st.integers(0, 12),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_the_last_lines(writes: list[tuple[int, bytes]], lines: int, small: bool) -> None:  # noqa: FBT001
    with rig(None) as it, pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(tail, "STRETCH", 3)
        for stream, data in writes:
            it.write(stream, data)
        merged = b"".join(data for _, data in writes)
        with it.output() as reader:
            assert tail.start_of(lines, STREAMS, reader, None) == naive_tail(merged, lines)
            only = tail.start_of(lines, (Stream.STDERR,), reader, None)
        alone = b"".join(data for stream, data in writes if stream == ERR)
        rest = all_frames(it, Selection(after=only, streams=(Stream.STDERR,)))
        assert b"".join(frame.data for frame in rest) == alone[naive_tail(alone, lines) :]


def test_entries_that_the_index_lacks_come_at_the_end() -> None:
    """The last bytes of a supervisor that was killed between two writes."""
    with rig(None) as it:
        it.write(OUT, b"noted")
        it.disk.fail(["", "error"])
        it.write(OUT, b", not noted")
        assert b"".join(frame.data for frame in all_frames(it, Selection())) == b"noted"
        end = End(Cause.LOST, datetime.now(UTC))
        whole = all_frames(it, Selection(), end)
        assert b"".join(frame.data for frame in whole) == b"noted, not noted"
        assert records.INDEX_ENTRY.size == 16


def test_a_batch_of_tiny_frames_is_bounded() -> None:
    """Single bytes to both streams in turn: no batch has as many frames as bytes."""
    with rig(None) as it:
        for number in range(20_000):
            it.write(number % 2, b"x")
        replay = FrameReader()
        batches, seq = 0, 0
        with it.output() as reader:
            while found := replay.read(reader, None, 64 * 1024):
                assert len(found) <= 64 * 1024 // frames.FRAME_COST
                batches += 1
                seq = found[-1].seq
                assert replay.exhausted == (seq == 20_000)
        assert seq == 20_000
        assert batches >= 20_000 * frames.FRAME_COST // (64 * 1024)


def test_the_last_of_millions_of_lines_take_little_memory() -> None:
    with rig(None) as it:
        for _ in range(40):
            it.write(OUT, b"\n" * 65_536)
        lines = 40 * 65_536
        tracemalloc.start()
        try:
            with it.output() as reader:
                for wanted in (1 << 31, lines, lines - 1, 3, 0):
                    place = tail.start_of(wanted, STREAMS, reader, None)
                    assert place == max(0, lines - wanted)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 8 * 1024 * 1024


def test_the_repr_shows_how_far_it_has_come() -> None:
    with rig(None) as it:
        it.write(OUT, b"x" * 10)
        it.write(ERR, b"x" * 10)
        reader = FrameReader()
        assert repr(reader) == "<FrameReader at 0, more to read>"
        with it.output() as output:
            reader.read(output, None, 1)
            assert repr(reader) == "<FrameReader at 10, more to read>"
            reader.read(output, ended(it), LATER)
        assert repr(reader) == "<FrameReader at 20, exhausted>"
