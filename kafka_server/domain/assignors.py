"""Owns: the server-side assignors of consumer groups (KIP-848): who should read which partitions.
Must never know: epochs, who still holds what, how a group gets from here to there.

Both take every member with the topics that it reads and what it was meant to have before, and the partition count of
every topic, and return what each member should have. Each partition that somebody reads goes to exactly one reader.

``range``    Splits each topic on its own into runs of neighbours, in the order of the members (static ones first, by
             instance id, so that they keep their place). Members that read the same topics get the same partition
             numbers of each, which joins of co-partitioned topics rest on. It does not care what was before.
``uniform``  Gives everybody the same number of partitions, as far as subscriptions allow, and moves as few as possible.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

TopicPartitions = Mapping[bytes, frozenset[int]]
"""Topic id to partition indexes; topics without any partition do not appear."""
PartitionCounts = Mapping[bytes, int]
"""Topic id to the number of its partitions."""

BALANCE_ROUNDS_MAX = 16
"""With overlapping subscriptions a move may unbalance a topic that was balanced before; each round about halves what
is left, and a perfect balance is not worth more rounds than these. Equal subscriptions need one."""


@dataclass(slots=True, frozen=True)
class Reader:
    """A member as an assignor sees it."""

    member_id: str
    instance_id: str | None
    topics: frozenset[bytes]
    """Topics that exist and that it subscribes to."""
    target: TopicPartitions
    """What it was meant to have before."""


Assignor = Callable[[Sequence[Reader], PartitionCounts], dict[str, TopicPartitions]]


def assign_range(readers: Sequence[Reader], counts: PartitionCounts) -> dict[str, TopicPartitions]:
    """Runs of neighbours per topic; the first members get one more where it does not divide."""
    ordered = sorted(readers, key=lambda r: (r.instance_id is None, r.instance_id or r.member_id))
    shares: dict[str, dict[bytes, frozenset[int]]] = {reader.member_id: {} for reader in ordered}
    for topic in {topic for reader in ordered for topic in reader.topics}:
        owners = [reader.member_id for reader in ordered if topic in reader.topics]
        smaller, extra = divmod(counts[topic], len(owners))
        start = 0
        for place, member_id in enumerate(owners):
            end = start + smaller + (place < extra)
            if end > start:
                shares[member_id][topic] = frozenset(range(start, end))
            start = end
    return dict(shares)


def assign_uniform(readers: Sequence[Reader], counts: PartitionCounts) -> dict[str, TopicPartitions]:
    """Equal loads with few moves: keep, hand out what is free, then move from the most to the least loaded."""
    loads = _Loads(readers, counts)
    for topic in loads.order:
        loads.hand_out(topic, counts[topic])
    shared = [topic for topic in loads.order if len(loads.readers_of[topic]) > 1]
    for _ in range(BALANCE_ROUNDS_MAX):
        if sum(loads.balance(topic) for topic in shared) == 0:
            break
    return loads.shares()


ASSIGNORS: Mapping[str, Assignor] = {"uniform": assign_uniform, "range": assign_range}
"""Those that ``group.consumer.assignors`` may name."""


class _Loads:
    """A half-made assignment: who has what by topic, and how much each has."""

    def __init__(self, readers: Sequence[Reader], counts: PartitionCounts) -> None:
        self._ids = [reader.member_id for reader in readers]
        self._size = [0] * len(readers)
        self.readers_of: dict[bytes, list[int]] = {}
        for number, reader in enumerate(readers):
            for topic in reader.topics:
                self.readers_of.setdefault(topic, []).append(number)
        self.order = sorted(self.readers_of, key=lambda t: (-counts[t] / len(self.readers_of[t]), t))
        """Topics with many partitions per reader first: later, smaller ones even out what these leave uneven."""
        self._owned: dict[bytes, dict[int, list[int]]] = {topic: {} for topic in self.order}
        self._free: dict[bytes, set[int]] = {topic: set(range(counts[topic])) for topic in self.order}
        for number, reader in enumerate(readers):
            for topic, partitions in reader.target.items():
                if topic in reader.topics:
                    self._take(topic, number, sorted(partitions & self._free[topic]))

    def _take(self, topic: bytes, number: int, partitions: Iterable[int]) -> None:
        for partition in partitions:
            self._owned[topic].setdefault(number, []).append(partition)
            self._free[topic].discard(partition)
            self._size[number] += 1

    def hand_out(self, topic: bytes, count: int) -> None:
        """Gives each free partition to the reader who has the least."""
        if not self._free[topic]:
            return
        heap = [(self._size[number], number) for number in self.readers_of[topic]]
        heapq.heapify(heap)
        for partition in sorted(self._free[topic]):
            size, number = heap[0]
            self._take(topic, number, (partition,))
            heapq.heapreplace(heap, (size + 1, number))

    def balance(self, topic: bytes) -> int:
        """Moves partitions of the topic until no reader has two more than another who could take one."""
        owned, moves = self._owned[topic], 0
        least = [(self._size[number], number) for number in self.readers_of[topic]]
        most = [(-self._size[number], number) for number in owned]
        heapq.heapify(least)
        heapq.heapify(most)
        while most:
            giver, taker = most[0][1], least[0][1]
            if -most[0][0] != self._size[giver] or not owned[giver]:
                heapq.heappop(most)  # Outdated: its true entry is in the heap as well, or it has none to give.
            elif least[0][0] != self._size[taker]:
                heapq.heappop(least)
            elif self._size[giver] - self._size[taker] < 2:
                break
            else:
                owned.setdefault(taker, []).append(owned[giver].pop())
                self._size[giver] -= 1
                self._size[taker] += 1
                moves += 1
                for number in (giver, taker):
                    heapq.heappush(least, (self._size[number], number))
                    heapq.heappush(most, (-self._size[number], number))
        return moves

    def shares(self) -> dict[str, TopicPartitions]:
        shares: dict[str, dict[bytes, frozenset[int]]] = {member_id: {} for member_id in self._ids}
        for topic, owned in self._owned.items():
            for number, partitions in owned.items():
                if partitions:
                    shares[self._ids[number]][topic] = frozenset(partitions)
        return dict(shares)
