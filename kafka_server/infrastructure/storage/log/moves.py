"""Owns: which partitions are on their way to another data folder. Must never know: how one gets there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kafka_server.application.ports import Moving
from kafka_server.infrastructure.storage.log.folders import Key
from kafka_server.infrastructure.storage.log.mover import Move
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog, Surroundings
from kafka_server.infrastructure.storage.log.places import Place
from kafka_server.infrastructure.storage.log.segment import Segment


class Moves:
    """Moves partitions, one thread for all."""

    def __init__(
        self,
        places: Sequence[Place],
        surroundings: Callable[[Place, Key], Surroundings],
        later: Callable[[int, Callable[[], None]], None],
        stop_compacting: Callable[[DiskPartitionLog], Awaitable[None]],
    ) -> None:
        self._places = places
        self._surroundings = surroundings
        self._later = later
        self._stop_compacting = stop_compacting
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-mover")
        self._moves: dict[Key, Move] = {}
        self._tasks: dict[asyncio.Task[None], Move] = {}

    def begin(self, key: Key, path: str) -> None:
        """To where it is on its way already it goes on; to where it lies, it stays, and a move elsewhere ends."""
        source = next(place for place in self._places if key in place.logs)
        target = next(place for place in self._places if place.folder.path == path)
        present = self._moves.get(key)
        if present is not None:
            if present.target is target.folder:
                return
            self._give_up(present)
        if source is target:
            return
        adopt = partial(self._adopt, source, target)
        move = Move(key, source.logs[key], source.folder, target.folder, self._thread, adopt)
        self._moves[key] = move
        move.log.is_moving = True
        task = asyncio.get_running_loop().create_task(self._run(move, target))
        self._tasks[task] = move
        task.add_done_callback(self._tasks.pop)

    def under_way(self) -> Mapping[Key, Moving]:
        return {
            key: Moving(move.target.path, move.size_bytes, move.end_offset)
            for key, move in self._moves.items()
            if not move.is_done
        }

    async def cancel(self, key: Key) -> None:
        """The partition is about to be removed: nothing of a copy is left, or will come."""
        if key in self._moves:
            self._give_up(self._moves[key])
        tasks = [task for task, move in self._tasks.items() if move.key == key]
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Leaves unfinished copies to the next start, which begins those moves anew."""
        for move in self._tasks.values():
            move.keeps_copy = self._moves.get(move.key) is move
            move.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        self._thread.shutdown(wait=True)

    def _give_up(self, move: Move) -> None:
        move.cancel()
        del self._moves[move.key]
        move.log.is_moving = False

    async def _run(self, move: Move, target: Place) -> None:
        try:
            await self._stop_compacting(move.log)
            await move.run()
        finally:
            present = self._moves.get(move.key)
            if present is move:
                del self._moves[move.key]
                move.log.is_moving = False
            is_taken_up = present is not None and present is not move and present.target is move.target
            if not move.is_done and not is_taken_up and move.key not in target.logs:
                target.forget(move.key)

    def _adopt(self, source: Place, target: Place, move: Move, copies: list[Segment]) -> None:
        key = move.key
        opened, partition, topic = source.logs.pop(key)
        source.forget(key)
        opened.go_on_in(move.path, copies, self._surroundings(target, key))
        target.logs[key] = opened, partition, topic
        remove = partial(source.folder.disk.remove, move.gone_path)
        self._later(topic.settings.file_delete_delay_ms, remove)
