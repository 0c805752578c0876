"""The pump held to a simple model: what is kept, where it stands, and in which order it came."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobworker.model import Stream
from jobworker.output import spans
from jobworker.supervisor import records
from support import native
from support.pump_rig import ERR, OUT, Rig, rig
from support.replay import Came, index_entries, replay

pytestmark = native.needs_compiler

STREAMS = (Stream.STDOUT, Stream.STDERR)
MOST_END = 16384
"""Bytes of an exit record (MOST_END in supervise.c)."""

ENTRY = records.INDEX_ENTRY.size


def kept_places(rig: Rig) -> list[set[int]]:
    with rig.output() as reader:
        return [
            {place for start, end in reader.spans(stream) for place in range(start, end)}
            for stream in STREAMS
        ]


def check_what_is_kept(rig: Rig) -> None:
    """Every byte that can be read is the one of that place; the account and the files agree."""
    pump = rig.pump
    with rig.output() as reader:
        for number, stream in enumerate(STREAMS):
            written = rig.streams[number]
            found = reader.spans(stream)
            for start, end in found:
                piece = reader.read(stream, start, end - start)
                assert (piece.offset, piece.data) == (start, written[start:end])
            missing = [(gap.start, gap.end) for gap in spans.between(stream, found)]
            size = reader.size(stream)
            if size < len(written):
                missing.append((size, len(written)))
            assert pump.gaps(number) == missing
            assert pump.kept(number) == spans.length(found)
    account = dict(pump.account())
    assert pump.offered == rig.total
    kept = int(account["stdoutBytes"]) + int(account["stderrBytes"])
    assert kept + int(account["droppedBytes"]) == rig.total


def check_replay(rig: Rig) -> list[Came]:
    """The replay gives every kept byte once, and every gap that lies before one."""
    with rig.output() as reader:
        events = list(replay(reader))
        for number, stream in enumerate(STREAMS):
            at = 0
            for event in events:
                if event.stream is stream:
                    assert event.place == at
                    at += event.length
                    if event.data is not None:
                        assert event.data == rig.streams[number][event.place : at]
            assert reader.size(stream) <= at <= len(rig.streams[number])
    return events


def order_of(events: list[Came]) -> bytes:
    """Which stream each byte belongs to, in the order of the replay."""
    return b"".join(bytes([event.stream.value - 1]) * event.length for event in events)


WRITES = st.lists(
    st.tuples(st.sampled_from([OUT, ERR]), st.integers(1, 300)), min_size=1, max_size=60
)
CAPS = st.one_of(st.integers(1, 40), st.integers(41, 3000))


@given(CAPS, WRITES)
@settings(max_examples=60, deadline=None)
def test_the_head_and_the_tail_are_kept_and_no_more_than_the_cap(
    cap: int, writes: list[tuple[int, int]]
) -> None:
    with rig(cap) as it:
        for stream, length in writes:
            it.number(stream, length)
            check_what_is_kept(it)
            kept = kept_places(it)
            assert len(kept[OUT]) + len(kept[ERR]) <= cap
        it.pump.finish()
        check_what_is_kept(it)
        merged = [(stream, place) for stream, place in _merged(it.came)]
        head = cap // 8
        tail = cap - head
        fewest = tail - -(-tail // 8)
        if it.total <= cap:
            head = it.total
        assert all(place in kept[stream] for stream, place in merged[:head])
        assert all(
            place in kept[stream] for stream, place in merged[max(head, it.total - fewest) :]
        )
        events = check_replay(it)
        if it.total <= cap:
            assert order_of(events) == bytes(stream for stream, _ in merged)


def _merged(came: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
    at = [0, 0]
    merged = []
    for stream, data in came:
        merged += [(stream, at[stream] + k) for k in range(len(data))]
        at[stream] += len(data)
    return merged


FATES = st.lists(st.sampled_from(["", "", "open", "error", "part"]), max_size=150)


@given(st.one_of(st.none(), CAPS), WRITES, FATES)
@settings(max_examples=100, deadline=None)
def test_what_a_failing_disk_loses_is_a_gap(
    cap: int | None, writes: list[tuple[int, int]], fates: list[str]
) -> None:
    with rig(cap) as it:
        it.disk.fail(fates)
        for stream, length in writes:
            it.number(stream, length)
            check_what_is_kept(it)
        it.pump.finish()
        check_what_is_kept(it)
        check_replay(it)
        if cap is not None:
            assert sum(map(len, kept_places(it))) <= cap


@given(CAPS, WRITES)
@settings(max_examples=30, deadline=None)
def test_the_first_bytes_are_kept_of_a_job_that_is_killed_for_its_output(
    cap: int, writes: list[tuple[int, int]]
) -> None:
    with rig(cap, kill=True) as it:
        for stream, length in writes:
            it.number(stream, length)
            assert it.pump.over_limit == (it.total > cap)
        it.pump.finish()
        check_what_is_kept(it)
        kept = kept_places(it)
        merged = _merged(it.came)
        assert all((place in kept[stream]) == (k < cap) for k, (stream, place) in enumerate(merged))


def test_without_a_cap_there_are_three_files_and_an_entry_for_each_write() -> None:
    with rig(None) as it:
        for k in range(5000):
            it.write(k % 2, b"x")
        assert it.files == ["index", "stderr", "stdout"]
        with it.output() as reader:
            assert [entry[1:] for entry in index_entries(reader)] == [(1, 1), (2, 1)] * 2500
        assert not it.pump.over_limit


@pytest.mark.parametrize("size", [1, 2, 7, 65536])
def test_a_cap_of_one_byte_keeps_the_last(size: int) -> None:
    with rig(1) as it:
        it.number(OUT, size)
        it.number(OUT, size)
        assert it.pump.gaps(OUT) == [(0, 2 * size - 1)]
        check_what_is_kept(it)


@pytest.mark.parametrize("cap", [100, 64 * 1024, 1 << 20])
def test_floods_of_full_pipes(cap: int) -> None:
    flood = bytes(range(256)) * 256
    with rig(cap) as it:
        for _ in range(40):
            it.write(OUT, flood)
        check_what_is_kept(it)
        kept = it.pump.kept(OUT)
        assert cap - cap // 8 <= kept <= cap
        assert len(it.files) < 30
        assert len(it.pump.gaps(OUT)) == 1


def test_a_pipe_that_is_found_full_becomes_a_wider_one() -> None:
    """And what it holds then is taken at once."""
    flood = bytes(range(256)) * 1024
    with rig(None) as it:
        source, sink = os.pipe()
        try:
            os.set_blocking(sink, False)
            assert os.write(sink, flood) == 65536
            assert it.pump.carry(source, OUT) == 65536
            assert os.write(sink, flood) == len(flood)
            assert it.pump.carry(source, OUT) == len(flood)
        finally:
            os.close(source)
            os.close(sink)
        assert it.pump.kept(OUT) == 65536 + len(flood)


def test_a_source_that_cannot_be_made_wider_goes_on_as_it_is() -> None:
    with rig(None) as it:
        source, sink = socket.socketpair()
        with source, sink:
            sink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            for _ in range(3):
                sink.sendall(bytes(65536))
                assert it.pump.carry(source.fileno(), ERR) == 65536
        assert it.pump.kept(ERR) == 3 * 65536


@pytest.mark.parametrize("alternate", [False, True])
def test_the_index_of_single_bytes_is_bounded(alternate: bool) -> None:  # noqa: FBT001
    """A quarter of the output and 64 KiB a segment; the bytes are all there."""
    with rig(1 << 20) as it:
        for k in range(30_000):
            it.write(k % 2 if alternate else OUT, b"%d" % (k % 10))
        with it.output() as reader:
            size = reader.size(Stream.INDEX)
            assert size < 64 * 1024 + it.total // 4 + 10 * ENTRY
        it.pump.finish()
        check_what_is_kept(it)
        check_replay(it)
        assert it.pump.gaps(OUT) == it.pump.gaps(ERR) == []


def test_the_last_entry_grows_in_place_and_keeps_the_order() -> None:
    with rig(1 << 20) as it:
        for _ in range(6000):
            it.write(OUT, b"o")
        it.write(ERR, b"e" * 40_000)
        it.write(OUT, b"last")
        it.pump.finish()
        order = order_of(check_replay(it))
        assert order == bytes(6000) + b"\1" * 40_000 + bytes(4)


def test_a_disk_full_on_and_off_leaves_a_bounded_number_of_gaps() -> None:
    with rig(None) as it:
        for k in range(300):
            it.disk.fail(["error"] if k % 2 else [])
            it.number(OUT, 10)
        it.pump.finish()
        check_what_is_kept(it)
        assert len(it.pump.gaps(OUT)) <= 65
        assert len(it.files) <= 2 * 65


def test_a_full_disk_leaves_no_empty_files() -> None:
    with rig(None) as it:
        it.number(OUT, 10)
        it.disk.fail(["error"] * 200)
        for _ in range(20):
            it.number(OUT, 10)
        it.pump.finish()
        assert it.files == ["index", "stdout"]
        assert it.pump.gaps(OUT) == [(10, 210)]


def test_an_empty_reader() -> None:
    with rig(None) as it, it.output() as reader:
        assert reader.spans(Stream.STDOUT) == ()
        assert reader.read(Stream.STDOUT, 5, 10).data == b""


def test_the_exit_record_lists_the_gaps() -> None:
    with rig(80) as it:
        it.number(OUT, 500)
        assert it.pump.account() == [
            ("stdoutBytes", b"80"),
            ("stderrBytes", b"0"),
            ("droppedBytes", b"420"),
            ("gap", b"stdout 10 430"),
        ]


def test_the_evidence_of_too_much_output_is_the_limit_and_what_came() -> None:
    with rig(80, kill=True) as it:
        it.number(OUT, 81)
        assert it.pump.over_limit
        assert it.pump.evidence() == [
            ("evidence.outputLimit", b"80"),
            ("evidence.outputBytes", b"81"),
        ]


@pytest.mark.parametrize("alternate", [False, True])
def test_the_record_of_an_end_has_room_for_every_gap(alternate: bool) -> None:  # noqa: FBT001
    """Of a job that has written as much as a number of 64 bits says, on a disk full on and off."""
    with rig(None) as it:
        for k in range(300):
            it.disk.fail(["error"] * (k % 2))
            it.number(k // 2 % 2 if alternate else OUT, 10)
        it.disk.fail(())
        it.pump.finish()
        lines = it.pump.account()
        assert len(lines) > 60
        widened = sum(len(value) + 2 * (20 - 1) for _, value in lines)
        assert widened < MOST_END - 4096, "what else is in it"
        check_what_is_kept(it)


def test_a_source_that_has_nothing_or_is_no_source_gives_nothing() -> None:
    with rig(None) as it:
        source, sink = os.pipe()
        try:
            os.set_blocking(source, False)
            assert it.pump.carry(source, OUT) == 0
            assert it.pump.carry(sink, OUT) == 0
        finally:
            os.close(source)
            os.close(sink)
        assert it.files == []
