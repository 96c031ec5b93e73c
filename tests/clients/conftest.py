"""Fixtures of the client tests: one broker process and one driver process per client, for the whole session.

Owns: the life of both, and the results that the table of clients is made from. Must never know: what a test checks.

KAFKA_TEST_BOOTSTRAP=host:port runs every test against a broker that is there already (Apache Kafka as the oracle).
KAFKA_TEST_STORAGE=memory runs our broker without a disk.
KAFKA_TEST_REQUIRE_PEERS=1 turns "not installed" into a failure.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.clients.broker import BrokerProcess
from tests.clients.driver import Driver, DriverError
from tests.clients.registry import CLIENTS, Client
from tests.clients.results import Results
from tests.clients.wire_probe import serves
from tests.peers import PeerMissingError, skip_or_fail

pytest.register_assert_rewrite("tests.clients.records")

BY_NAME = {client.name: client for client in CLIENTS}


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the broker under test."""
    if existing := os.environ.get("KAFKA_TEST_BOOTSTRAP"):
        yield existing
        return
    folder = tmp_path_factory.mktemp("broker")
    storage = os.environ.get("KAFKA_TEST_STORAGE", "disk")
    with BrokerProcess(folder, "--storage", storage) as process:
        yield process.bootstrap


class Drivers:
    """Starts the driver of a client when it is first asked for, and again when it has ended."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self._bootstrap = bootstrap
        self._folder = folder
        self._running: dict[str, Driver] = {}
        self._broken: dict[str, DriverError] = {}

    def get(self, client: Client) -> Driver:
        """Raises PeerMissingError when the client is not installed, DriverError when its driver does not start."""
        if client.name in self._broken:
            raise self._broken[client.name]
        running = self._running.get(client.name)
        if running is None or not running.alive:
            log = self._folder / f"{client.name.replace(' ', '-')}-{uuid.uuid4().hex[:4]}.log"
            try:
                running = self._running[client.name] = Driver(client.name, client.command(), self._bootstrap, log)
            except DriverError as error:
                self._broken[client.name] = error
                raise
        return running

    def close(self) -> None:
        for driver in self._running.values():
            driver.close()


@pytest.fixture(scope="session")
def drivers(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drivers]:
    running = Drivers(broker, tmp_path_factory.mktemp("drivers"))
    yield running
    running.close()


def each_client() -> list[object]:
    return [
        pytest.param(client.name, id=client.name.replace(" ", "-"), marks=_runtime_marks(client)) for client in CLIENTS
    ]


def _runtime_marks(client: Client) -> list[pytest.MarkDecorator]:
    return [getattr(pytest.mark, client.marker)] if client.marker else []


@pytest.fixture(params=each_client())
def driver(request: pytest.FixtureRequest, drivers: Drivers) -> Driver:
    """Every client in turn: a test that takes this fixture runs once for each."""
    try:
        return drivers.get(BY_NAME[request.param])
    except PeerMissingError as missing:
        skip_or_fail(missing)
        raise


@pytest.fixture
def able(driver: Driver) -> Callable[..., None]:
    """Skips the test for a client that has no such operation: `able("delete_records")`."""

    def check(*operations: str) -> None:
        for operation in operations:
            if operation not in driver.operations:
                pytest.skip(f"not in the client: {driver.lacks.get(operation, operation)}")

    return check


class Admin(AdminClient):
    """The reference client, for what a test needs besides the operation that it is about."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__({"bootstrap.servers": bootstrap, "broker.address.family": "v4"})
        self.bootstrap = bootstrap


@pytest.fixture(scope="session")
def admin(broker: str) -> Admin:
    return Admin(broker)


@pytest.fixture
def topic(request: pytest.FixtureRequest, admin: Admin) -> str:
    """An empty topic of three partitions."""
    return new_topic(admin, request.node.name)


def unique(label: str) -> str:
    """A legal topic or group name that no other run uses."""
    kept = "".join(each if each.isalnum() or each in "-_" else "-" for each in label.removeprefix("test_"))
    return f"{kept[:80].strip('-')}-{uuid.uuid4().hex[:6]}"


def new_topic(admin: Admin, label: str, partitions: int = 3, configs: dict[str, str] | None = None) -> str:
    name = unique(label)
    (future,) = admin.create_topics([NewTopic(name, partitions, 1, config=configs or {})]).values()
    future.result(15)
    eventually(lambda: all(serves(admin.bootstrap, name, each) for each in range(partitions)))
    return name


def eventually(true: Callable[[], bool], seconds: float = 15.0) -> None:
    """Kafka answers an administrator when the controller has decided; its brokers learn of it a moment later."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(0.02)


# --- what the table of clients is made from -------------------------------------------------------------------------

RESULTS: pytest.StashKey[Results] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "feature(name): the column of the table of clients that this test fills")
    config.addinivalue_line("markers", "administration: not for clients that take the broker for an old one")
    config.stash[RESULTS] = Results()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the whole folder, and leaves out administration by clients from the time before there was any."""
    here = Path(__file__).parent
    out = []
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.clients)
            client = BY_NAME.get(getattr(getattr(item, "callspec", None), "params", {}).get("driver", ""))
            if client is not None and client.old and item.get_closest_marker("administration"):
                out.append(item)
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    feature = item.get_closest_marker("feature")
    params = getattr(getattr(item, "callspec", None), "params", {})
    if feature is not None and (report.when == "call" or report.outcome != "passed"):
        running = getattr(item, "funcargs", {})
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
        for fixture, name in (("driver", "{}"), ("tools", "tools {}")):
            if fixture in running or fixture in params:
                # A peer that did not start has no version to tell, but its failure counts.
                client = running[fixture].name if fixture in running else name.format(params[fixture])
                version = running[fixture].client if fixture in running else client
                note = (feature.args[0].format(**params), report.outcome, reason)
                item.config.stash[RESULTS].note(client, version, *note)
    return report  # type: ignore[return-value]


def pytest_sessionfinish(session: pytest.Session) -> None:
    results = session.config.stash[RESULTS]
    if results.noted:
        broker = os.environ.get("KAFKA_TEST_BROKER_NAME", "kafka-server")
        results.save("kafka-server" if "KAFKA_TEST_BOOTSTRAP" not in os.environ else broker)
