"""Whatever bytes a producer sends: it gets an answer, the log stays readable, and other producers do not notice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_server.domain.errors import DomainError
from kafka_server.domain.message import Message
from kafka_server.domain.record_batch import HEADER_SIZE, iterate_batches
from kafka_server.domain.topic import TopicSettings
from tests.application.data_house import DataHouse, context, now_answered
from tests.application.test_produce_and_fetch_handlers import message_set, numbered, produce_request
from tests.domain.batches import NOW_MS, batch, idempotent, messages, patched

SETTINGS = {
    "defaults": TopicSettings(),
    "compacted": TopicSettings(cleanup_compact=True),
    "log append time": TopicSettings(log_append_time=True),
    "bounded times": TopicSettings(message_timestamp_before_ms_max=1000),
    "unbounded times": TopicSettings(message_timestamp_after_ms_max=2**63 - 1),
    "zstd": TopicSettings(compression_type="zstd"),
    "uncompressed": TopicSettings(compression_type="uncompressed"),
}
EXTREMES = [-(2**63), -(2**63) + 1, -2, -1, 0, 1, 2**31 - 1, 2**31, 2**62, 2**63 - 1]
SEEDS = [
    batch(count=1),
    batch(count=3),
    batch(count=40),
    idempotent(2**31 - 1, 3),
    *(batch(*messages(3), codec=codec) for codec in range(1, 5)),
    *(
        batch(Message(b"k", b"v", (), first), Message(b"k", b"v", (), second))
        for first, second in [(NOW_MS, -(2**63)), (2**63 - 1, 0), (-(2**62), 2**62)]
    ),
]
OLD_SEEDS = [message_set(magic, numbered(messages(3)), codec) for magic in (0, 1) for codec in range(4)]


def fields() -> st.SearchStrategy[tuple[int, str, int]]:
    """A lie for one field of the header: position, layout, value."""
    wide = st.sampled_from(EXTREMES)
    return st.one_of(
        st.tuples(st.sampled_from([0, 27, 35, 43]), st.just("q"), wide),
        st.tuples(
            st.sampled_from([8, 12, 23, 53, 57]), st.just("i"), st.sampled_from([-(2**31), -1, 0, 1, 2, 2**31 - 1])
        ),
        st.tuples(st.sampled_from([21, 51]), st.just("h"), st.integers(-(2**15), 2**15 - 1)),
    )


async def answered(version: int, settings: TopicSettings, data: bytes) -> DataHouse:
    """Produces ``data`` and, after it, something harmless."""
    house = DataHouse()
    await house.topic("orders", settings=settings)
    for records in (data, batch(*messages(2))):
        handler_version = version if records is data else 9
        request = produce_request(handler_version, ("orders", 0, records))
        response = now_answered(house.produce_handlers.produce(context(handler_version), request))
        (answer,) = response.responses[0].partition_responses
        assert (answer.base_offset >= 0) == (answer.error_code == 0 and answer.base_offset != -1)
    assert answer.error_code == 0
    return house


def log_is_whole(house: DataHouse) -> bool:
    """Offsets without gaps, up to the log end."""
    replica = house.replicas.find("orders", 0)
    raw: Any = replica.log.read(0, 1 << 30, replica.partition.log_end_offset)
    expected = 0
    for header, _ in iterate_batches(raw):
        assert header.base_offset == expected
        expected = header.last_offset + 1
    return expected == replica.partition.log_end_offset


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@given(
    seed=st.sampled_from(SEEDS), lies=st.lists(fields(), max_size=2), junk=st.binary(max_size=3), at=st.integers(0, 99)
)
def test_a_batch_full_of_lies(
    settings: TopicSettings, seed: bytes, lies: list[tuple[int, str, int]], junk: bytes, at: int
) -> None:
    data = bytearray(seed)
    place = HEADER_SIZE + at % (len(data) - HEADER_SIZE)
    data[place : place + len(junk)] = junk[: len(data) - place]
    lie = patched(bytes(data), 0, "q", 0)
    for position, layout, value in lies:
        lie = patched(lie, position, layout, value)

    assert log_is_whole(asyncio.run(answered(9, settings, lie)))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@given(seed=st.sampled_from(OLD_SEEDS), junk=st.binary(max_size=4), at=st.integers(0, 200))
def test_an_old_message_set_full_of_lies(settings: TopicSettings, seed: bytes, junk: bytes, at: int) -> None:
    data = bytearray(seed)
    place = at % len(data)
    data[place : place + len(junk)] = junk[: len(data) - place]

    assert log_is_whole(asyncio.run(answered(2, settings, bytes(data))))


@pytest.mark.parametrize("first", EXTREMES)
@pytest.mark.parametrize("second", EXTREMES)
def test_old_messages_with_extreme_times(first: int, second: int) -> None:
    data = message_set(1, [Message(b"k", b"v", (), time, at) for at, time in enumerate((first, second))])

    assert log_is_whole(asyncio.run(answered(2, SETTINGS["unbounded times"], data)))


@given(st.lists(st.binary(max_size=120), max_size=3), st.sampled_from([0, 2, 3, 9]))
def test_garbage_is_answered_per_partition(parts: list[bytes], version: int) -> None:
    async def run() -> None:
        house = DataHouse()
        await house.topic("orders")
        request = produce_request(version, *(("orders", 0, data) for data in parts))
        response = now_answered(house.produce_handlers.produce(context(version), request))
        assert len(response.responses) == len(parts)

    asyncio.run(run())


def test_what_is_refused_is_refused_with_a_domain_error_only() -> None:
    house = DataHouse()
    replica = asyncio.run(house.replica())
    for seed in SEEDS:
        for cut in range(0, len(seed), 7):
            with pytest.raises(DomainError):
                house.producer.append(replica, seed[:cut])
