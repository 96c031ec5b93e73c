"""Kafka Streams counts words exactly once, and goes on counting right when its broker dies under it."""

from __future__ import annotations

import collections
import random
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

from tests.clients.broker import BrokerProcess
from tests.clients.conftest import Admin, eventually
from tests.clients.test_restart import settings
from tests.peers import PeerMissingError, jvm, skip_or_fail

pytestmark = pytest.mark.jvm

APPLICATION = "word-count"
LINES, COUNTS = f"{APPLICATION}-lines", f"{APPLICATION}-counts"
PARTITIONS = 3
KILLS = 3
WORDS = [f"word-{index}" for index in range(40)]
RUNNING_SECONDS_MAX = 30
SETTLED_SECONDS_MAX = 40


class WordCount:
    """The program of tests/clients/java/WordCount.java, in a process of its own."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        classes, libraries = jvm.program_classes(jvm.STREAMS), jvm.class_path(jvm.STREAMS)
        self.log_path = folder / "streams.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(jvm.java(), *jvm.SHORT_LIVED, *jvm.QUIET, "-cp", f"{classes}:{libraries}"),
                    *("WordCount", bootstrap, APPLICATION, str(folder / "state")),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def await_running(self) -> None:
        eventually(lambda: "RUNNING" in self.log_path.read_text().split(), RUNNING_SECONDS_MAX)

    def close(self) -> int:
        """Lets it commit and leave its group; its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(30)

    def __enter__(self) -> WordCount:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


class Author(threading.Thread):
    """Writes lines of five words until it is told to stop, and keeps the true counts."""

    def __init__(self, broker: BrokerProcess) -> None:
        super().__init__(daemon=True)  # a test that fails must not keep the process alive
        self.written: collections.Counter[str] = collections.Counter()
        self.enough = threading.Event()
        self._producer = Producer(settings(broker, enable_idempotence=True, linger_ms=5))

    def run(self) -> None:
        choice = random.Random(1)
        while not self.enough.wait(0.002):
            words = choice.choices(WORDS, k=5)
            self.written.update(words)
            self._producer.produce(LINES, " ".join(words))
            self._producer.poll(0)

    def finish(self) -> None:
        self.enough.set()
        self.join()
        assert self._producer.flush(30) == 0


class Tally:
    """A reader of committed data that holds on to each step of each count."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.steps: dict[str, list[int]] = collections.defaultdict(list)
        self._consumer = Consumer(settings(broker, group_id="tally", isolation_level="read_committed"))
        self._consumer.assign([TopicPartition(COUNTS, index, 0) for index in range(PARTITIONS)])

    def read(self) -> int:
        """Reads a piece of what there is; how many words are counted by now."""
        for each in self._consumer.consume(5000, timeout=0.3):
            if each.error() is None:
                (count,) = struct.unpack(">q", each.value() or b"")
                self.steps[(each.key() or b"").decode()].append(count)
        return sum(steps[-1] for steps in self.steps.values())

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path, "--storage", "disk") as process:
        admin = Admin(process.bootstrap)
        for future in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (LINES, COUNTS)]).values():
            future.result(15)
        yield process


def test_a_word_count_is_exact_though_the_broker_is_killed(broker: BrokerProcess, tmp_path: Path) -> None:
    try:
        streams = WordCount(broker.bootstrap, tmp_path)
    except PeerMissingError as missing:
        skip_or_fail(missing)
        raise
    author, tally = Author(broker), Tally(broker)
    with streams:
        streams.await_running()
        author.start()
        counted = 0
        for _ in range(KILLS):
            # A kill strikes while counts flow, not while the program still finds its way back from the one before.
            eventually(lambda before=counted: tally.read() > before, SETTLED_SECONDS_MAX)
            counted = tally.read()
            broker.kill()
            broker.start()
        eventually(lambda: tally.read() > counted, SETTLED_SECONDS_MAX)
        author.finish()
        deadline = time.monotonic() + SETTLED_SECONDS_MAX
        while tally.read() < author.written.total() and time.monotonic() < deadline:
            continue
        exit_code = streams.close()
        while more := tally.read() - counted:
            counted += more
        tally.close()

    log = streams.log_path.read_text()
    assert {word: steps[-1] for word, steps in tally.steps.items()} == dict(author.written), log[-5000:]
    for word, steps in tally.steps.items():
        assert steps == list(range(1, author.written[word] + 1)), f"{word} skips or repeats a step"
    assert exit_code == 0, log[-5000:]
