"""Configs that a running broker follows: what clients see at once and after a restart."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka_protocol.messages import incremental_alter_configs as iac
from kafka_protocol.messages.create_topics import CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.metadata import MetadataRequest, MetadataResponse

from kafka_server.domain.client_quota import QuotaRate
from kafka_server.infrastructure.network.pace import Pace
from kafka_server.testing.broker import RunningBroker, threaded_broker
from tests.application.admin_house import wanted
from tests.differential.raw_client import RawClient
from tests.peers.apache_kafka import free_ports

OFF = 1
NODE = "1"


@contextmanager
def running(**settings: str) -> Iterator[tuple[RunningBroker, RawClient]]:
    with threaded_broker(**settings) as broker, RawClient(broker.bootstrap) as client:
        yield broker, client


def set_configs(client: RawClient, broker: str = "", /, **texts: str | None) -> int:
    """The error code; ``max_connections="5"`` sets max.connections, None unsets it."""
    configs = [
        iac.AlterableConfig(name=name.replace("_", "."), config_operation=OFF if text is None else 0, value=text)
        for name, text in texts.items()
    ]
    resource = iac.AlterConfigsResource(resource_type=4, resource_name=broker, configs=configs)
    request = iac.IncrementalAlterConfigsRequest(resources=[resource])
    return client.ask(request, iac.IncrementalAlterConfigsResponse, 1).responses[0].error_code


def is_served(bootstrap: str, patience_s: float = 5) -> bool:
    """Whether a new connection gets an answer; False when it is closed, not heard or not accepted."""
    try:
        with RawClient(bootstrap, patience_s) as another:
            return is_alive(another)
    except OSError:
        return False


def is_alive(client: RawClient) -> bool:
    try:
        client.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
    except (EOFError, OSError):
        return False
    return True


def until(holds: Callable[[], bool], patience_s: float = 20) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def listener(name: str, port: int, *others: str) -> str:
    return ",".join((f"{name}://127.0.0.1:{port}", *others))


# ---- limits of connections ---------------------------------------------------------------------------------------


def test_connections_are_limited_from_now_on() -> None:
    with running() as (broker, client):
        assert set_configs(client, max_connections_per_ip="1") == 0
        assert not is_served(broker.bootstrap)

        assert set_configs(client, max_connections_per_ip_overrides="localhost:2") == 0
        assert is_served(broker.bootstrap)

        assert set_configs(client, max_connections_per_ip=None, max_connections_per_ip_overrides=None) == 0
        assert set_configs(client, max_connections="1") == 0
        assert not is_served(broker.bootstrap)
        assert set_configs(client, max_connections=None) == 0
        assert is_served(broker.bootstrap)


def test_of_too_many_connections_those_go_that_were_silent_for_longest() -> None:
    with running() as (broker, client):
        others = [RawClient(broker.bootstrap) for _ in range(3)]
        assert all(is_alive(each) for each in others)
        assert set_configs(client, max_connections="2") == 0
        for each in others:
            each.send(MetadataRequest(topics=[]), 12)

        answered = []
        for each in others:
            try:
                each.receive(MetadataResponse, 12)
                answered.append(each)
            except (EOFError, OSError):
                pass
        assert len(answered) == 1
        assert is_alive(client)
        for each in others:
            each.__exit__(None, None, None)


def test_a_name_of_a_host_bounds_connections_from_the_start_on() -> None:
    with running(**{"max.connections.per.ip.overrides": "localhost:1"}) as (broker, _):
        assert not is_served(broker.bootstrap)


def test_a_host_that_nobody_knows_is_refused() -> None:
    with running() as (_, client):
        assert set_configs(client, max_connections_per_ip_overrides="nope.invalid:1") == 42


def test_new_connections_over_the_rate_wait_for_their_turn() -> None:
    with running() as (broker, client):
        assert set_configs(client, max_connection_creation_rate="2") == 0
        began = time.monotonic()
        # Ten windows of a second hold 20.
        assert all(is_served(broker.bootstrap) for _ in range(20))
        assert time.monotonic() - began < 0.5
        assert is_served(broker.bootstrap)
        assert time.monotonic() - began > 0.4

        assert set_configs(client, max_connection_creation_rate=None) == 0
        assert is_served(broker.bootstrap, patience_s=0.3)


def test_connections_over_the_rate_wait_one_behind_the_other() -> None:
    pace = Pace(QuotaRate(1000, 11), 1000, per_second_max=1)

    delays = [pace.delay_ms(now_ms=5_000) for _ in range(14)]

    # Each pause is at most one window, here 1.0 s and, since the rate grows, never less.
    assert delays == [*[0] * 10, 1000, 2000, 3000, 4000]


# ---- listeners ---------------------------------------------------------------------------------------------------


def test_a_listener_comes_and_goes_while_the_broker_runs(tmp_path: Path) -> None:
    port, more, changed = free_ports(3)
    main = listener("PLAINTEXT", port)
    protocols = "PLAINTEXT:PLAINTEXT,MORE:PLAINTEXT"
    on_disk = {"storage": "disk", "log.dirs": str(tmp_path), "listeners": main}
    with running(**on_disk) as (broker, client):
        assert set_configs(client, NODE, listeners=listener("MORE", more, main)) == 42  # of what protocol?
        both = {"listeners": listener("MORE", more, main), "listener_security_protocol_map": protocols}
        assert set_configs(client, NODE, **both) == 0
        with RawClient(f"127.0.0.1:{more}") as another:
            told = another.ask(MetadataRequest(topics=[]), MetadataResponse, 12).brokers
            assert [(each.host, each.port) for each in told] == [("127.0.0.1", more)]

            assert set_configs(client, NODE, listeners=listener("MORE", changed, main)) == 42  # it is open elsewhere
            assert set_configs(client, NODE, listeners=None) == 0
            assert not is_alive(another)
        assert not is_served(f"127.0.0.1:{more}")
        assert is_alive(client)
        assert set_configs(client, NODE, **both) == 0

    with running(**on_disk) as (broker, client):
        assert [each.name for each in broker.broker.listeners] == ["PLAINTEXT", "MORE"]
        assert is_served(f"127.0.0.1:{more}")


def test_a_client_may_close_the_listener_that_it_came_by() -> None:
    port, more = free_ports(2)
    with running(listeners=listener("PLAINTEXT", port)) as (_, client):
        configs = {
            "listeners": listener("MORE", more),
            "listener_security_protocol_map": "PLAINTEXT:PLAINTEXT,MORE:PLAINTEXT",
        }
        assert set_configs(client, NODE, **configs) == 0
        assert not is_served(f"127.0.0.1:{port}")
        assert is_served(f"127.0.0.1:{more}")


@pytest.mark.parametrize("broker", ["", NODE])
def test_an_address_that_is_taken_is_refused_before_anything_is_stored(broker: str) -> None:
    with running() as (running_broker, client), socket.create_server(("127.0.0.1", 0)) as taken:
        listeners = listener("MORE", taken.getsockname()[1], "PLAINTEXT://127.0.0.1:0")
        protocols = "PLAINTEXT:PLAINTEXT,MORE:PLAINTEXT"
        texts = {"listeners": listeners, "listener_security_protocol_map": protocols}
        assert set_configs(client, broker, **texts) == 42
        assert [each.name for each in running_broker.broker.listeners] == ["PLAINTEXT"]


def test_a_start_goes_on_without_an_added_listener_whose_port_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    on_disk = {"storage": "disk", "log.dirs": str(tmp_path)}
    (more,) = free_ports(1)
    texts = {
        "listeners": listener("MORE", more, "PLAINTEXT://127.0.0.1:0"),
        "listener_security_protocol_map": "PLAINTEXT:PLAINTEXT,MORE:PLAINTEXT",
    }
    with running(**on_disk) as (_, client):
        assert set_configs(client, NODE, **texts) == 0
    with socket.create_server(("127.0.0.1", more)), running(**on_disk) as (broker, client):
        assert [each.name for each in broker.broker.listeners] == ["PLAINTEXT"]
        assert set_configs(client, NODE, listeners=None, listener_security_protocol_map=None) == 0
    assert f"port {more} is taken" in caplog.text


# ---- the disk ----------------------------------------------------------------------------------------------------


def test_compaction_and_recovery_take_other_settings_at_once_and_after_a_restart(tmp_path: Path) -> None:
    on_disk = {"storage": "disk", "log.dirs": str(tmp_path), "log.cleaner.backoff.ms": "3600000"}
    with running(**on_disk) as (broker, client):
        client.ask(CreateTopicsRequest(topics=[wanted("orders", 1, 1)]), CreateTopicsResponse, 7)
        texts = {
            "log_cleaner_backoff_ms": "20",
            "log_cleaner_io_max_bytes_per_second": "1e6",
            "num_recovery_threads_per_data_dir": "4",
            "producer_id_expiration_ms": "1234",
        }
        assert set_configs(client, **texts) == 0
        until(lambda: broker.broker.stores.logs._compactor is not None)  # type: ignore[attr-defined]
        assert compaction_of(broker) == (20, 1e6)
        assert broker.broker.services.retention._producer_expiration_ms() == 1234

    with running(**on_disk) as (broker, client):
        assert compaction_of(broker) == (20, 1e6)
        assert broker.broker.stores.logs._recovering._value == 4  # type: ignore[attr-defined]
        assert set_configs(client, log_cleaner_backoff_ms=None, log_cleaner_io_max_bytes_per_second="-1") == 0
        assert compaction_of(broker) == (3_600_000, -1)


def compaction_of(broker: RunningBroker) -> tuple[int, float]:
    settings = broker.broker.stores.logs._compaction  # type: ignore[attr-defined]
    return settings.backoff_ms, settings.bytes_per_second_max
