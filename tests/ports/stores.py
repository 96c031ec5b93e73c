"""A metadata file for tests: opened as often as a test wants, as after restarts, and closed at its end."""

from __future__ import annotations

from pathlib import Path

from kafka_server.infrastructure.storage.sqlite.store import FILE_NAME, Store


def _failed(error: Exception) -> None:
    raise error


class Stores:
    """Openings of one metadata file."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / FILE_NAME)
        self._open: list[Store] = []

    def open(self) -> Store:
        """Another opening; what was written before and told to be done can be read from it."""
        store = Store(self.path, durable=False, on_failure=_failed)
        self._open.append(store)
        return store

    async def close(self) -> None:
        for store in self._open:
            await store.close()
