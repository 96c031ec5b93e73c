"""Owns: the names and the text format of the metrics. Must never know: how anything is counted.

Pull model: services count in plain ints, and this module reads them when asked; between two scrapes metrics cost
nothing. Names are those that people's dashboards use: of the JMX exporter for what Kafka's brokers report, and of
kafka_exporter for offsets and groups. Format: Prometheus text, version 0.0.4.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from kafka_server.application.counters import TopicCounters
from kafka_server.application.fetch_sessions import FetchSessions
from kafka_server.application.group_coordinator import GroupCoordinator
from kafka_server.application.group_effects import GroupCounters
from kafka_server.application.offset_manager import OffsetManager
from kafka_server.application.quota_service import QuotaService
from kafka_server.application.replica_manager import ReplicaManager
from kafka_server.application.telemetry_service import TelemetryService
from kafka_server.infrastructure.network.server import Server

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float | int]

BROKER_TOPIC: Final[tuple[tuple[str, Callable[[TopicCounters], int], str], ...]] = (
    ("messagesin", lambda of: of.messages_in, "Records appended."),
    ("bytesin", lambda of: of.bytes_in, "Bytes of record batches that producers sent."),
    ("bytesout", lambda of: of.bytes_out, "Bytes of record batches that consumers were sent."),
    ("bytesrejected", lambda of: of.bytes_rejected, "Bytes of record batches that were refused."),
    (
        "totalproducerequests",
        lambda of: of.produce_requests,
        "Appends asked for, one per partition of a produce request.",
    ),
    ("totalfetchrequests", lambda of: of.fetch_requests, "Reads asked for, one per partition of a fetch request."),
    ("failedproducerequests", lambda of: of.failed_produce_requests, "Appends that failed."),
    ("failedfetchrequests", lambda of: of.failed_fetch_requests, "Reads that failed."),
    (
        "producemessageconversions",
        lambda of: of.produce_conversions,
        "Appends that were converted from message format v0 or v1.",
    ),
    (
        "fetchmessageconversions",
        lambda of: of.fetch_conversions,
        "Reads that were converted to message format v0 or v1.",
    ),
)


GROUP: Final[tuple[tuple[str, Callable[[GroupCounters], int], str], ...]] = (
    ("groupsrefused", lambda of: of.groups_refused, "New groups refused because there were too many."),
    ("rebalancesstarted", lambda of: of.rebalances_started, "Rebalances of groups that began."),
    ("rebalancescompleted", lambda of: of.rebalances_completed, "Rebalances of groups that ended."),
    ("membersremoved", lambda of: of.members_removed, "Members that left a group or fell silent."),
)


@dataclass(slots=True, frozen=True)
class Sources:
    """What the metrics read."""

    replicas: ReplicaManager
    coordinator: GroupCoordinator
    offsets: OffsetManager
    sessions: FetchSessions
    quotas: QuotaService
    telemetry: TelemetryService
    server: Server


class Metrics:
    """``render()`` returns one scrape."""

    def __init__(self, sources: Sources) -> None:
        self._of = sources
        self._started_s = time.time()

    def render(self) -> str:
        lines: list[str] = []
        for name, kind, about, samples in self._families():
            lines.append(f"# HELP {name} {about}")
            lines.append(f"# TYPE {name} {kind}")
            lines.extend(f"{name}{_labels(labels)} {value}" for labels, value in samples)
        lines.append("")
        return "\n".join(lines)

    def _families(self) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
        """Name, type, help and samples of each metric."""
        yield from self._topics()
        yield from self._partitions()
        yield from self._groups()
        yield from self._network()
        yield from self._sessions()
        yield from self._clients()
        yield from self._process()

    def _topics(self) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
        counters = list(self._of.replicas.counters())
        for name, read, about in BROKER_TOPIC:
            yield (
                f"kafka_server_brokertopicmetrics_{name}_total",
                "counter",
                about,
                [((("topic", topic),), read(of_topic)) for topic, of_topic in counters],
            )

    def _partitions(self) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
        replicas = list(self._of.replicas)
        count = len(replicas)
        manager = "kafka_server_replicamanager"
        yield f"{manager}_partitioncount", "gauge", "Partitions that this broker holds.", [((), count)]
        yield f"{manager}_leadercount", "gauge", "Partitions that this broker leads.", [((), count)]
        yield (
            f"{manager}_underreplicatedpartitions",
            "gauge",
            "Partitions with a replica that lags; none here.",
            [((), 0)],
        )
        producers = sum(len(replica.partition.producers) for replica in replicas)
        yield f"{manager}_produceridcount", "gauge", "Producers that partitions remember.", [((), producers)]
        yield "kafka_brokers", "gauge", "Brokers of the cluster.", [((), 1)]
        per_topic: dict[str, int] = {}
        sizes: list[Sample] = []
        current: list[Sample] = []
        oldest: list[Sample] = []
        evicted: dict[str, int] = {}
        for replica in replicas:
            topic, partition = replica.topic.name, replica.partition
            per_topic[topic] = per_topic.get(topic, 0) + 1
            evicted[topic] = evicted.get(topic, 0) + partition.producers.evicted
            labels = (("topic", topic), ("partition", str(partition.index)))
            sizes.append((labels, replica.log.size_bytes()))
            current.append((labels, partition.log_end_offset))
            oldest.append((labels, partition.log_start_offset))
        yield (
            f"{manager}_produceridevictions_total",
            "counter",
            "Producers that partitions forgot because they would have remembered too many.",
            [((("topic", topic),), count) for topic, count in evicted.items()],
        )
        yield "kafka_log_log_size", "gauge", "Bytes of the log of a partition.", sizes
        yield (
            "kafka_topic_partitions",
            "gauge",
            "Partitions of a topic.",
            [((("topic", topic),), partitions) for topic, partitions in per_topic.items()],
        )
        yield "kafka_topic_partition_current_offset", "gauge", "Offset that the next record will get.", current
        yield "kafka_topic_partition_oldest_offset", "gauge", "Offset of the first record that is kept.", oldest

    def _groups(self) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
        ends = {(of.topic.name, of.partition.index): of.partition.high_watermark for of in self._of.replicas}
        members: list[Sample] = []
        committed: list[Sample] = []
        lags: list[Sample] = []
        sums: list[Sample] = []
        for group in self._of.coordinator.all():
            name = ("consumergroup", group.group_id)
            members.append(((name,), group.member_count))
            for topic, partitions in self._of.offsets.fetch(group.group_id).items():
                total = 0
                for index, entry in partitions.items():
                    labels = (name, ("topic", topic), ("partition", str(index)))
                    committed.append((labels, entry.offset))
                    if (topic, index) in ends:
                        lag = max(0, ends[topic, index] - entry.offset)
                        total += lag
                        lags.append((labels, lag))
                sums.append(((name, ("topic", topic)), total))
        yield "kafka_consumergroup_members", "gauge", "Members of a group.", members
        yield "kafka_consumergroup_current_offset", "gauge", "Offset that a group committed.", committed
        yield "kafka_consumergroup_lag", "gauge", "Records between the committed offset and the end.", lags
        yield "kafka_consumergroup_lag_sum", "gauge", "Lag of a group over the partitions of a topic.", sums
        states = self._of.coordinator.count_by_state().items()
        yield (
            "kafka_coordinator_group_groupmetadatamanager_numgroups",
            "gauge",
            "Groups by state.",
            [((("state", state),), count) for state, count in states],
        )
        counters = self._of.coordinator.counters
        for what, read, about in GROUP:
            metric = f"kafka_coordinator_group_groupmetadatamanager_{what}_total"
            yield metric, "counter", about, [((), read(counters))]

    def _network(self) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
        server = self._of.server
        routes = [
            ((("request", route.name), ("version", str(route.api_version))), route)
            for route in sorted(server.routes(), key=lambda route: (route.api_key, route.api_version))
        ]
        request = "kafka_network_requestmetrics"
        yield f"{request}_requests_total", "counter", "Requests.", [(labels, of.requests) for labels, of in routes]
        yield (
            f"{request}_errors_total",
            "counter",
            "Requests that ended their connection.",
            [(labels, of.failures) for labels, of in routes],
        )
        yield (
            f"{request}_requestbytes_total",
            "counter",
            "Bytes of requests.",
            [(labels, of.request_bytes) for labels, of in routes],
        )
        yield (
            f"{request}_responsebytes_total",
            "counter",
            "Bytes of responses.",
            [(labels, of.response_bytes) for labels, of in routes],
        )
        yield (
            f"{request}_totaltimems_total",
            "counter",
            "Milliseconds from decoding to writing, waiting included.",
            [(labels, of.total_ns / 1e6) for labels, of in routes],
        )
        counters = server.counters
        socket = "kafka_server_socketservermetrics"
        yield f"{socket}_connection_count", "gauge", "Open connections.", [((), server.connection_count())]
        yield f"{socket}_connection_creation_total", "counter", "Connections accepted.", [((), counters.accepted)]
        yield (
            f"{socket}_connection_refused_total",
            "counter",
            "Connections refused by a limit.",
            [
                ((("limit", "max.connections"),), counters.refused_total_limit),
                ((("limit", "max.connections.per.ip"),), counters.refused_ip_limit),
                ((("limit", "connection_creation_rate"),), counters.refused_ip_rate),
            ],
        )
        yield (
            f"{socket}_connection_closed_total",
            "counter",
            "Connections that the server gave up.",
            [
                ((("reason", "idle"),), counters.closed_idle),
                ((("reason", "slow"),), counters.closed_slow),
                ((("reason", "max.connections"),), counters.closed_surplus),
            ],
        )
        yield (
            f"{socket}_half_received_bytes",
            "gauge",
            "Memory of requests that are not complete yet.",
            [((), server.half_frame_bytes())],
        )
        yield f"{socket}_unsent_bytes", "gauge", "Answers that clients do not read.", [((), server.unsent.bytes)]

    def _sessions(self) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
        sessions = self._of.sessions
        cache = "kafka_server_fetchsessioncache"
        yield f"{cache}_numincrementalfetchsessions", "gauge", "Incremental fetch sessions.", [((), len(sessions))]
        yield (
            f"{cache}_incrementalfetchsessionevictions_total",
            "counter",
            "Fetch sessions evicted.",
            [((), sessions.evictions)],
        )

    def _clients(self) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
        quotas = self._of.quotas.counters.items()
        yield (
            "kafka_server_clientquotas_throttled_requests_total",
            "counter",
            "Requests whose client was told to pause, by the quota that it exceeded.",
            [((("quota", key),), of.throttled_requests) for key, of in quotas],
        )
        yield (
            "kafka_server_clientquotas_pause_ms_total",
            "counter",
            "Milliseconds that clients were told to pause.",
            [((("quota", key),), of.pause_ms) for key, of in quotas],
        )
        instances = list(self._of.telemetry.instances())
        counters = self._of.telemetry.counters
        name = "kafka_server_clientmetrics"
        yield f"{name}_instance_count", "gauge", "Clients that tell their metrics.", [((), len(instances))]
        yield f"{name}_push_total", "counter", "Pushes of client metrics received.", [((), counters.pushes)]
        yield f"{name}_throttle_total", "counter", "Pushes and questions that came early.", [((), counters.throttled)]
        yield (
            f"{name}_unknown_subscription_request_total",
            "counter",
            "Pushes for an outdated subscription.",
            [((), counters.unknown_subscription)],
        )
        yield f"{name}_unreadable_total", "counter", "Pushes that could not be read.", [((), counters.unreadable)]
        yield (
            "kafka_client_metric",
            "gauge",
            "What clients told about themselves (KIP-714); deltas are summed up.",
            [
                (
                    (
                        ("client_id", instance.selectors["client_id"]),
                        ("client_instance_id", instance.selectors["client_instance_id"]),
                        ("name", metric),
                        ("attributes", ",".join(f"{key}={value}" for key, value in attributes)),
                    ),
                    value,
                )
                for instance in instances
                for (metric, attributes), value in instance.values.items()
            ],
        )

    def _process(self) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
        times = os.times()
        yield "process_cpu_seconds_total", "counter", "CPU time of this process.", [((), times.user + times.system)]
        yield (
            "process_start_time_seconds",
            "gauge",
            "Start of this process, seconds since the epoch.",
            [((), round(self._started_s, 3))],
        )
        resident = _resident_bytes()
        if resident is not None:
            yield "process_resident_memory_bytes", "gauge", "Memory of this process.", [((), resident)]
        yield (
            "python_gc_collections_total",
            "counter",
            "Runs of the garbage collector.",
            [
                ((("generation", str(generation)),), stats["collections"])
                for generation, stats in enumerate(gc.get_stats())
            ],
        )


def _resident_bytes() -> int | None:
    """Resident memory, where /proc tells it."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}"


def _escape(text: str) -> str:
    """A group id may hold anything, also what would end the label."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
