"""Records go in and come out byte for byte, whoever wrote them and however they were packed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients import records
from tests.clients.conftest import BY_NAME, Admin, Drivers, new_topic, unique
from tests.clients.driver import Driver, DriverError
from tests.clients.registry import CLIENTS
from tests.clients.wire_probe import CODECS, batch_codecs
from tests.peers import PeerMissingError

Able = Callable[..., None]


@pytest.mark.feature("{codec}")
@pytest.mark.parametrize("codec", CODECS)
def test_a_client_reads_what_it_wrote(driver: Driver, able: Able, broker: str, topic: str, codec: str) -> None:
    able("produce", "consume")
    if codec not in driver.codecs:
        pytest.skip(f"not in the client: {driver.lacks.get(codec, codec)}")
    written = records.make(topic, lacks=driver.lacks)

    offsets = driver.ask("produce", topic=topic, codec=codec, idempotent=False, records=written)["offsets"]
    read = driver.ask("consume", topic=topic, partitions=[0, 1, 2], count=len(written))["records"]

    records.assert_same(read, written, lacks=driver.lacks)
    assert offsets in ([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], [None] * 12), "each partition counts from 0 without a gap"
    assert set(batch_codecs(broker, topic, 0)) == {codec}, "the client really used the codec"


@pytest.mark.feature("idempotent")
def test_an_idempotent_producer_writes_each_record_once(driver: Driver, able: Able, topic: str) -> None:
    able("produce", "consume")
    if "idempotent" in driver.lacks:
        pytest.skip(f"not in the client: {driver.lacks['idempotent']}")
    first = records.make(f"{topic}-first", lacks=driver.lacks)
    second = records.make(f"{topic}-second", lacks=driver.lacks)

    driver.ask("produce", topic=topic, codec="none", idempotent=True, records=first)
    driver.ask("produce", topic=topic, codec="none", idempotent=True, records=second)
    read = driver.ask("consume", topic=topic, partitions=[0, 1, 2], count=24)["records"]

    records.assert_same(read, first + second, lacks=driver.lacks)


@pytest.mark.feature("transactions")
def test_a_reader_of_committed_records_does_not_see_what_was_aborted(driver: Driver, able: Able, topic: str) -> None:
    able("transaction", "consume_committed")
    aborted = records.make(f"{topic}-aborted", lacks=driver.lacks)
    committed = records.make(f"{topic}-committed", lacks=driver.lacks)

    driver.ask("transaction", topic=topic, id=unique("txn"), aborted=aborted, committed=committed)
    read = driver.ask("consume_committed", topic=topic, partitions=[0, 1, 2], count=len(committed))["records"]

    records.assert_same(read, committed, lacks=driver.lacks)


@pytest.mark.feature("900 KB record")
def test_a_record_near_the_size_limit_passes(driver: Driver, able: Able, topic: str) -> None:
    able("produce", "consume")
    (large,) = records.make(topic, 1, lacks=driver.lacks)
    large["value"] = records.text(b"x" * 900_000)
    large["headers"] = []

    driver.ask("produce", topic=topic, codec="none", idempotent=False, records=[large])
    (read,) = driver.ask("consume", topic=topic, partitions=[0], count=1)["records"]

    assert read["value"] == large["value"]


@pytest.mark.feature("seek by time")
def test_a_client_starts_at_the_first_record_at_or_after_a_time(
    driver: Driver, able: Able, drivers: Drivers, topic: str
) -> None:
    able("consume_from_time")
    written = records.make(topic, lacks=driver.lacks)
    writer = drivers.get(BY_NAME["confluent-kafka"]) if "timestamp" in driver.lacks else driver
    writer.ask("produce", topic=topic, codec="gzip", idempotent=False, records=written)

    # Record 7 is in partition 1; the first ones at or after its time are 9 in partition 0, 7 in 1 and 8 in 2.
    found = driver.ask("consume_from_time", topic=topic, timestamp=written[7]["timestamp"], count=5)
    late = driver.ask("consume_from_time", topic=topic, timestamp=written[11]["timestamp"], count=1)

    assert found["offsets"] == {"0": 3, "1": 2, "2": 2}
    records.assert_same(found["records"], written[7:], lacks=driver.lacks)
    assert late["offsets"] == {"0": None, "1": None, "2": 3}, "no such record: no offset"
    records.assert_same(late["records"], written[11:], lacks=driver.lacks)


class Library:
    """One topic per writing client, with one partition per codec, filled once for all readers."""

    def __init__(self) -> None:
        self.shelves: list[tuple[Driver, str, list[records.Record]]] = []
        self.failures: dict[str, str] = {}


@pytest.fixture(scope="session")
def library(drivers: Drivers, admin: Admin) -> Library:
    filled = Library()
    for client in (each for each in CLIENTS if not each.old):
        try:
            writer = drivers.get(client)
        except PeerMissingError:
            continue
        topic = new_topic(admin, f"library-{client.name}", partitions=len(CODECS))
        written: list[records.Record] = []
        try:
            for codec in writer.codecs:
                label = f"{client.name}-{codec}"
                part = records.make(label, 8, partitions=[CODECS.index(codec)], lacks=writer.lacks)
                writer.ask("produce", topic=topic, codec=codec, idempotent=False, records=part)
                written += part
            filled.shelves.append((writer, topic, written))
        except DriverError as error:
            filled.failures[client.name] = str(error)
    return filled


@pytest.mark.feature("reads all others")
def test_a_client_reads_what_every_other_client_wrote(driver: Driver, able: Able, library: Library) -> None:
    able("consume")
    assert driver.name not in library.failures, library.failures[driver.name]
    for writer, topic, written in library.shelves:
        known = [CODECS.index(codec) for codec in writer.codecs if codec in driver.codecs]
        expected = [each for each in written if each["partition"] in known]
        read = driver.ask("consume", topic=topic, partitions=known, count=len(expected))["records"]
        records.assert_same(read, expected, lacks=_shown_by_both(driver, writer))


def _shown_by_both(reader: Driver, writer: Driver) -> dict[str, Any]:
    """A writer without timestamps lets its library choose them; one without header order has its own."""
    both = {name: why for name, why in writer.lacks.items() if name in {"timestamp", "header_order"}}
    return {**reader.lacks, **both}
