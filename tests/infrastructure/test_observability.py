"""What operators and learners see: log lines, metrics, health."""

from __future__ import annotations

import asyncio
import io
import logging
import re
from collections.abc import Iterator

import pytest

from kafka_server.application.explain import EXPLAIN
from kafka_server.infrastructure.network.notices import LINES_PER_WINDOW, WINDOW_S, Notices
from kafka_server.infrastructure.observability import log as log_module
from kafka_server.infrastructure.observability.http import HttpServer, Page
from kafka_server.infrastructure.observability.metrics import Metrics, Sources
from kafka_server.testing.broker import running_broker


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The logger that ``configure`` changes, restored after the test."""
    logger = logging.getLogger("kafka_server")
    before = logger.handlers[:], logger.level, logger.propagate
    yield logger
    logger.handlers[:], logger.level, logger.propagate = before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_plain_lines_with_time_level_and_area(root: logging.Logger) -> None:
    stream = io.StringIO()
    log_module.configure("info", stream)
    logging.getLogger("kafka_server.topic").info("created %s", "orders")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO    topic: created orders\n", stream.getvalue())


def test_names_from_the_wire_cannot_forge_lines_or_steer_a_terminal(root: logging.Logger) -> None:
    stream = io.StringIO()
    log_module.configure("info", stream)
    logging.getLogger("kafka_server.group").info("client %s", "x\n2026-01-01 INFO all is well\x1b[2J\u2028\u00fc")
    assert stream.getvalue().endswith("client x\\n2026-01-01 INFO all is well\\x1b[2J\\u2028\u00fc\n")


def test_a_terminal_gets_colours(root: logging.Logger) -> None:
    stream = Terminal()
    log_module.configure("info", stream)
    logging.getLogger("kafka_server.topic").warning("disk is full")
    assert "disk is full" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()


@pytest.mark.parametrize(("level", "shown"), [("info", ["info"]), ("explain", ["explain", "info"]), ("error", [])])
def test_explain_lies_between_debug_and_info(root: logging.Logger, level: str, shown: list[str]) -> None:
    stream = io.StringIO()
    log_module.configure(level, stream)
    logger = logging.getLogger("kafka_server.fetch")
    logger.debug("debug")
    logger.log(EXPLAIN, "explain")
    logger.info("info")
    assert [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()] == shown


def test_a_traceback_follows_its_line(root: logging.Logger) -> None:
    stream = io.StringIO()
    log_module.configure("info", stream)
    try:
        raise ZeroDivisionError("of ours")
    except ZeroDivisionError:
        logging.getLogger("kafka_server.network").exception("a bug")
    assert "network: a bug\nTraceback" in stream.getvalue()
    assert stream.getvalue().endswith("ZeroDivisionError: of ours\n")


def test_a_noisy_kind_is_held_back_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    notices = Notices(logging.getLogger("kafka_server.test"), lambda: now[0])
    for _ in range(LINES_PER_WINDOW + 7):
        notices.warn("scan", "a port scanner")
    notices.warn("other", "something else")
    assert len(caplog.records) == LINES_PER_WINDOW + 1
    now[0] += WINDOW_S
    notices.warn("scan", "again")
    assert [record.getMessage() for record in caplog.records[-2:]] == [
        "7 more lines like the next one were held back",
        "again",
    ]


async def scrape(**settings: str) -> dict[str, str]:
    """Name with labels -> value of a new broker's metrics."""
    async with running_broker(**settings) as broker:
        of = broker.broker.services
        metrics = Metrics(
            Sources(of.replicas, of.coordinator, of.offsets, of.sessions, of.quotas, of.telemetry, broker.broker.server)
        )
        await of.topics.create_for_client("orders")
        lines = metrics.render().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


async def test_metrics_have_the_names_that_dashboards_use() -> None:
    samples = await scrape(**{"num.partitions": "2"})
    assert samples["kafka_server_replicamanager_partitioncount"] == "2"
    assert samples["kafka_server_replicamanager_underreplicatedpartitions"] == "0"
    assert samples["kafka_server_replicamanager_produceridcount"] == "0"
    assert samples['kafka_server_replicamanager_produceridevictions_total{topic="orders"}'] == "0"
    assert samples['kafka_topic_partitions{topic="orders"}'] == "2"
    assert samples['kafka_topic_partition_current_offset{topic="orders",partition="1"}'] == "0"
    assert samples['kafka_server_brokertopicmetrics_messagesin_total{topic="orders"}'] == "0"
    assert samples['kafka_log_log_size{topic="orders",partition="0"}'] == "0"
    assert samples["kafka_brokers"] == "1"
    groups = "kafka_coordinator_group_groupmetadatamanager"
    for what in ("groupsrefused", "rebalancesstarted", "rebalancescompleted", "membersremoved"):
        assert samples[f"{groups}_{what}_total"] == "0"
    refused = "kafka_server_socketservermetrics_connection_refused_total"
    for limit in ("max.connections", "max.connections.per.ip"):
        assert samples[f'{refused}{{limit="{limit}"}}'] == "0"
    assert float(samples["process_resident_memory_bytes"]) > 1e6


async def test_the_http_endpoint_answers_get_and_refuses_the_rest() -> None:
    server = HttpServer({"/livez": lambda: Page(200, "alive\n")})
    host, port = await server.start("127.0.0.1", 0)

    async def ask(raw: bytes) -> str:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(raw)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return answer.decode()

    try:
        assert (await ask(b"GET /livez?x=1 HTTP/1.1\r\n\r\n")).endswith("Connection: close\r\n\r\nalive\n")
        assert (await ask(b"HEAD /livez HTTP/1.1\r\n\r\n")).endswith("Content-Length: 6\r\nConnection: close\r\n\r\n")
        assert (await ask(b"POST /livez HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 405 ")
        assert (await ask(b"GET /else HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 404 ")
        assert (await ask(b"nonsense\r\n\r\n")).startswith("HTTP/1.1 400 ")
        assert await ask(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n") == ""
    finally:
        server.stop()
