"""Changes run one at a time, and to their end even when nobody waits for them any more."""

from __future__ import annotations

import asyncio

import pytest

from kafka_server.application.serial_work import SerialWork
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.memory import MemoryTopicRepository
from tests.application.admin_house import House


class SlowRepository(MemoryTopicRepository):
    """Stores a topic only when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_store = asyncio.Event()

    async def add(self, topic: Topic) -> None:
        await self.may_store.wait()
        await super().add(topic)


async def test_a_change_begins_when_the_one_before_is_done() -> None:
    seen: list[str] = []

    async def change(name: str) -> str:
        seen.append(f"{name} begins")
        await asyncio.sleep(0)
        seen.append(f"{name} ends")
        return name

    work = SerialWork()

    assert await asyncio.gather(work.run(change("a")), work.run(change("b"))) == ["a", "b"]
    assert seen == ["a begins", "a ends", "b begins", "b ends"]


async def test_a_change_that_fails_lets_the_next_one_run() -> None:
    async def fail() -> None:
        raise ValueError

    async def succeed() -> int:
        return 1

    work = SerialWork()

    with pytest.raises(ValueError, match=r"^$"):
        await work.run(fail())
    assert await work.run(succeed()) == 1


async def test_a_topic_whose_client_hangs_up_is_created_all_the_same() -> None:
    repository = SlowRepository()
    house = House(topics=repository)
    creating = asyncio.create_task(house.topics.create_for_client("orders"))
    await asyncio.sleep(0)

    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    repository.may_store.set()
    await asyncio.sleep(0.01)

    assert len(house.topics.get("orders").partitions) == 1


async def test_two_clients_that_ask_for_a_missing_topic_at_once_get_the_same_one() -> None:
    repository = SlowRepository()
    house = House(topics=repository)
    asking = [asyncio.create_task(house.topics.create_for_client("orders")) for _ in range(2)]
    await asyncio.sleep(0)
    repository.may_store.set()

    first, second = await asyncio.gather(*asking)

    assert first is second
