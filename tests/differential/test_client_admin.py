"""The same questions about credentials, quotas, telemetry and data folders to Apache Kafka and to us."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest
from kafka_protocol.messages import alter_client_quotas as acq
from kafka_protocol.messages import alter_replica_log_dirs as arld
from kafka_protocol.messages import alter_user_scram_credentials as ausc
from kafka_protocol.messages import describe_client_quotas as dcq
from kafka_protocol.messages import describe_configs as dc
from kafka_protocol.messages import describe_log_dirs as dld
from kafka_protocol.messages import describe_user_scram_credentials as dusc
from kafka_protocol.messages import get_telemetry_subscriptions as gts
from kafka_protocol.messages import incremental_alter_configs as iac
from kafka_protocol.messages import push_telemetry as pt
from kafka_protocol.messages.create_topics import CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.list_config_resources import ListConfigResourcesRequest, ListConfigResourcesResponse

from tests.application.admin_house import wanted
from tests.differential.conversation import Step, compare
from tests.differential.raw_client import RawClient
from tests.domain.otlp_examples import gauge, point, push

pytestmark = pytest.mark.jvm

# ---- SCRAM -------------------------------------------------------------------------------------------------------


def upsert(user: str, mechanism: int = 1, iterations: int = 4096) -> ausc.ScramCredentialUpsertion:
    return ausc.ScramCredentialUpsertion(
        name=user, mechanism=mechanism, iterations=iterations, salt=b"salt", salted_password=b"x" * 32
    )


def delete(user: str, mechanism: int = 1) -> ausc.ScramCredentialDeletion:
    return ausc.ScramCredentialDeletion(name=user, mechanism=mechanism)


def change(*changes: ausc.ScramCredentialUpsertion | ausc.ScramCredentialDeletion) -> Step:
    request = ausc.AlterUserScramCredentialsRequest(
        deletions=[each for each in changes if isinstance(each, ausc.ScramCredentialDeletion)],
        upsertions=[each for each in changes if isinstance(each, ausc.ScramCredentialUpsertion)],
    )
    return Step(request, ausc.AlterUserScramCredentialsResponse, [0], settles=True)


def credentials(*users: str) -> Step:
    def in_order(answer: dusc.DescribeUserScramCredentialsResponse) -> dusc.DescribeUserScramCredentialsResponse:
        for result in answer.results:
            result.credential_infos.sort(key=lambda info: info.mechanism)
        return answer

    request = dusc.DescribeUserScramCredentialsRequest(users=[dusc.UserName(name=user) for user in users] or None)
    return Step(request, dusc.DescribeUserScramCredentialsResponse, [0], in_order=in_order)


def test_scram_credentials(theirs: RawClient, ours: RawClient) -> None:
    compare(
        theirs,
        ours,
        credentials(),
        change(),
        change(upsert("ann")),
        change(upsert("ann", 2, 8192), upsert("bob", 1, 16384)),
        credentials(),
        credentials("bob", "nobody", "ann", "ann", ""),
        *(change(upsert("c", 1, iterations)) for iterations in (4095, 16385, -1)),
        *(change(upsert("c", mechanism)) for mechanism in (0, 3, -1)),
        *(change(delete("bob", mechanism)) for mechanism in (0, 2, 9)),
        change(upsert("")),
        change(delete("")),
        change(delete("nobody")),
        change(delete("nobody"), upsert("")),
        change(delete(""), upsert("")),
        change(delete(""), upsert("e")),
        change(delete("", 0), upsert("f", 1, 1)),
        change(upsert("d"), upsert("d")),
        change(upsert("d"), upsert("d", 2)),
        change(upsert("d"), upsert("d", 1, 1)),
        change(upsert("d", 1, 1), upsert("d")),
        change(delete("ann"), upsert("ann")),
        change(delete("d"), upsert("d")),
        change(delete("ann", 1), delete("ann", 2)),
        change(upsert("good"), upsert("bad", 9), delete("bob")),
        credentials(),
        change(delete("ann", 1), delete("good")),
        credentials(),
    )


# ---- quotas ------------------------------------------------------------------------------------------------------

Parts = dict[str, str | None]


def entry(parts: Parts, **quotas: float | None) -> acq.AlterClientQuotasRequestEntryData:
    return acq.AlterClientQuotasRequestEntryData(
        entity=[
            acq.AlterClientQuotasRequestEntityData(entity_type=kind, entity_name=name) for kind, name in parts.items()
        ],
        ops=[acq.OpData(key=key, value=value or 0.0, remove=value is None) for key, value in quotas.items()],
    )


def by_entity(answer: Any) -> Any:
    """The entries in one order, and in each entry the parts of its entity."""
    for each in answer.entries or []:
        each.entity.sort(key=lambda part: part.entity_type)
    if answer.entries:
        answer.entries.sort(key=lambda each: [(part.entity_type, part.entity_name or "") for part in each.entity])
    return answer


def alter(*entries: acq.AlterClientQuotasRequestEntryData, validate_only: bool = False) -> Step:
    request = acq.AlterClientQuotasRequest(entries=list(entries), validate_only=validate_only)
    return Step(request, acq.AlterClientQuotasResponse, [0, 1], settles=True, in_order=by_entity)


def quotas(*components: tuple[str, int, str | None], strict: bool = False, versions: Iterable[int] = (0, 1)) -> Step:
    def in_order(answer: dcq.DescribeClientQuotasResponse) -> Any:
        for each in answer.entries or []:
            each.values.sort(key=lambda value: value.key)
        return by_entity(answer)

    listed = [dcq.ComponentData(entity_type=kind, match_type=how, match=name) for kind, how, name in components]
    request = dcq.DescribeClientQuotasRequest(components=listed, strict=strict)
    return Step(request, dcq.DescribeClientQuotasResponse, versions, in_order=in_order)


EXACT, DEFAULT, ANY = 0, 1, 2


def test_quotas_of_addresses(theirs: RawClient, ours: RawClient) -> None:
    # So high that nobody is turned away.
    address, every = {"ip": "10.1.2.3"}, {"ip": None}
    names = ["localhost", "::1", "[::1]", "127.1", "010.1.2.3", "256.1.1.1", "a b", "-1", "nope.invalid", ""]
    compare(
        theirs,
        ours,
        alter(entry(address, connection_creation_rate=1e6), entry(every, connection_creation_rate=1e6)),
        *(
            alter(entry(address, connection_creation_rate=value))
            for value in (0.0001, -1, 1.5, 1.0000001, 2.0**31 - 1, 2.0**31, 1e300)
        ),
        *(
            alter(entry({"ip": name}, connection_creation_rate=value), validate_only=value is not None)
            for name in names
            for value in (1e6, None)
        ),
        alter(entry(address), entry({"ip": "nope.invalid"})),
        alter(entry(address, producer_byte_rate=1)),
        alter(entry(address, producer_byte_rate=None)),
        alter(entry({"user": "a"}, connection_creation_rate=1)),
        alter(entry({"ip": "10.1.2.3", "user": "a"}, connection_creation_rate=1)),
        quotas(),
        *(
            quotas(component, strict=strict)
            for strict in (False, True)
            for component in (("ip", EXACT, "10.1.2.3"), ("ip", DEFAULT, None), ("ip", ANY, None))
        ),
        alter(entry(address, connection_creation_rate=None), entry(every, connection_creation_rate=None)),
        quotas(),
    )


def heard(client: RawClient, count: int) -> int:
    """How many of that many new connections are answered before the first one that is not."""
    for number in range(count):
        with RawClient(client.bootstrap, patience_s=0.3) as another:
            try:
                another.ask(ListConfigResourcesRequest(), ListConfigResourcesResponse, 1)
            except (TimeoutError, EOFError, ConnectionError):
                return number
    return count


def test_an_address_that_connects_too_often_is_not_heard(theirs: RawClient, ours: RawClient) -> None:
    for client in (theirs, ours):
        for quota in (2.0, None):
            step = alter(entry({"ip": "127.0.0.1"}, connection_creation_rate=quota))
            assert [each.error_code for each in client.ask(step.request, step.response_type, 1).entries] == [0]
            time.sleep(0.3)
            assert heard(client, 30) == (20 if quota else 30)


def test_client_quotas(theirs: RawClient, ours: RawClient) -> None:
    entities: list[Parts] = [
        {"user": "a"},
        {"user": "a", "client-id": "x"},
        {"user": "a", "client-id": None},
        {"user": None},
        {"user": None, "client-id": "x"},
        {"user": None, "client-id": None},
        {"client-id": "x"},
        {"client-id": None},
    ]
    no_more = [
        entry(parts, producer_byte_rate=None, consumer_byte_rate=None, request_percentage=None) for parts in entities
    ]
    # So high that nobody is throttled by them.
    compare(
        theirs,
        ours,
        quotas(),
        alter(*(entry(parts, producer_byte_rate=1e9, request_percentage=1e6) for parts in entities)),
        alter(entry({"user": "a"}, producer_byte_rate=None, consumer_byte_rate=1e9)),
        alter(entry({"user": "a"}, producer_byte_rate=None, nope=None)),
        *(quotas(strict=strict) for strict in (False, True)),
        *(
            quotas(*components, strict=strict)
            for strict in (False, True)
            for components in (
                [("user", EXACT, "a")],
                [("user", DEFAULT, None)],
                [("user", ANY, None)],
                [("client-id", EXACT, "x")],
                [("user", ANY, None), ("client-id", DEFAULT, None)],
                [("user", EXACT, "")],
                [("ip", ANY, None)],
            )
        ),
        *(
            quotas(*components, versions=[1])
            for components in (
                [("nope", ANY, None)],
                [("", ANY, None)],
                [("user", 3, None)],
                [("user", -1, None)],
                [("user", EXACT, None)],
                [("user", DEFAULT, "x")],
                [("user", ANY, "x")],
                [("user", ANY, None), ("user", ANY, None)],
                [("ip", ANY, None), ("user", ANY, None)],
            )
        ),
        # They would go before every quota that a later test gives to a client id.
        alter(*no_more),
        quotas(),
    )


def test_quotas_that_cannot_be_set(theirs: RawClient, ours: RawClient) -> None:
    compare(
        theirs,
        ours,
        *(
            alter(entry({"user": "bad"}, **{key: value}))
            for key, value in (
                ("nope", 1.0),
                ("producer_byte_rate", -1.0),
                ("producer_byte_rate", 1.5),
                ("consumer_byte_rate", 2.0**64),
                ("producer_byte_rate", float("nan")),
                ("request_percentage", float("inf")),
                ("request_percentage", -0.5),
                ("connection_creation_rate", 5.0),
            )
        ),
        *(
            alter(entry(parts, producer_byte_rate=5))
            for parts in ({"nope": "a"}, {}, {"user": ""}, {"user": "a", "ip": "1.2.3.4"}, {"ip": "1.2.3.4"})
        ),
        alter(entry({"user": "dry"}, producer_byte_rate=5), validate_only=True),
        alter(entry({"user": "dry"}, producer_byte_rate=-5), validate_only=True),
        alter(entry({"user": "good"}, producer_byte_rate=1e9), entry({"user": "bad"}, producer_byte_rate=-1)),
        alter(),
        quotas(("user", EXACT, "good")),
        quotas(("user", EXACT, "dry")),
        quotas(("user", EXACT, "bad")),
    )


# ---- client metrics ----------------------------------------------------------------------------------------------


def configure(name: str, *changes: tuple[str, int, str | None]) -> Step:
    configs = [iac.AlterableConfig(name=key, config_operation=op, value=text) for key, op, text in changes]
    resource = iac.AlterConfigsResource(resource_type=16, resource_name=name, configs=configs)
    request = iac.IncrementalAlterConfigsRequest(resources=[resource])
    return Step(request, iac.IncrementalAlterConfigsResponse, [1], settles=True)


def shown(name: str, versions: Iterable[int] = (4,)) -> Step:
    resource = dc.DescribeConfigsResource(resource_type=16, resource_name=name, configuration_keys=None)
    request = dc.DescribeConfigsRequest(resources=[resource], include_synonyms=True)
    return Step(request, dc.DescribeConfigsResponse, versions)


def test_configs_of_client_metrics(theirs: RawClient, ours: RawClient) -> None:
    listed = Step(ListConfigResourcesRequest(), ListConfigResourcesResponse, [0])
    compare(
        theirs,
        ours,
        listed,
        configure("watch", ("interval.ms", 0, "1000"), ("metrics", 0, "a.,b."), ("match", 0, "client_id=nobody")),
        listed,
        shown("watch", range(1, 5)),
        shown("nope"),
        shown(""),
        *(
            configure("watch", (key, 0, text))
            for key, text in (
                ("interval.ms", "99"),
                ("interval.ms", "3600001"),
                ("interval.ms", "x"),
                ("nope", "1"),
                ("match", "nope=1"),
                ("match", "client_id"),
                ("match", "client_id=["),
                ("metrics", ""),
                ("metrics", "*"),
            )
        ),
        configure("watch", ("nope", 1, None)),
        configure("", ("interval.ms", 0, "1000")),
        configure("watch", *((key, 1, None) for key in ("interval.ms", "metrics", "match"))),
        listed,
    )


def test_what_clients_tell_of_themselves(theirs: RawClient, ours: RawClient) -> None:
    subscription: dict[RawClient, int] = {}
    me = b"differential set"

    def ask(instance_id: bytes) -> Step:
        request = gts.GetTelemetrySubscriptionsRequest(client_instance_id=instance_id)
        return Step(request, gts.GetTelemetrySubscriptionsResponse, [0])

    compare(theirs, ours, ask(bytes(16)), ask(me), ask(me))
    for client in (theirs, ours):
        request = gts.GetTelemetrySubscriptionsRequest(client_instance_id=b"another instance"[:16])
        subscription[client] = client.ask(request, gts.GetTelemetrySubscriptionsResponse, 0).subscription_id
    answers = {
        client: [
            client.ask(
                pt.PushTelemetryRequest(
                    client_instance_id=instance_id,
                    subscription_id=subscription[client] + wrong,
                    terminating=is_last,
                    compression_type=compression,
                    metrics=data,
                ),
                pt.PushTelemetryResponse,
                0,
            ).error_code
            for instance_id, wrong, is_last, compression, data in (
                (bytes(16), 0, False, 0, b""),
                (b"another instance", 1, False, 0, b""),
                (b"another instance", 0, False, 0, b""),
                (b"another instance", 0, True, 9, b""),
                (b"another instance", 0, True, 0, b""),
                (me, 0, False, 0, b""),
            )
        ]
        for client in (theirs, ours)
    }
    assert answers[theirs] == answers[ours]


@pytest.mark.parametrize(("size", "compression"), [(10, 0), (1 << 21, 0), (10, 4)])
def test_pushes_of_metrics(theirs: RawClient, ours: RawClient, size: int, compression: int) -> None:
    data = push(gauge("n" * size, point(1)))
    instance_id = f"{size:08}{compression:08}".encode()
    codes = []
    for client in (theirs, ours):
        asked = gts.GetTelemetrySubscriptionsRequest(client_instance_id=instance_id)
        told = client.ask(asked, gts.GetTelemetrySubscriptionsResponse, 0)
        request = pt.PushTelemetryRequest(
            client_instance_id=instance_id,
            subscription_id=told.subscription_id,
            compression_type=compression,
            metrics=data,
        )
        codes.append(client.ask(request, pt.PushTelemetryResponse, 0).error_code)
    assert codes[0] == codes[1]


# ---- data folders ------------------------------------------------------------------------------------------------


def test_data_folders(theirs: RawClient, ours: RawClient) -> None:
    create = CreateTopicsRequest(topics=[wanted("lies-here", 2, 1)], timeout_ms=5000)
    compare(theirs, ours, Step(create, CreateTopicsResponse, [7], settles=True))
    answers: list[Any] = []
    for client in (theirs, ours):
        asked = dld.DescribeLogDirsRequest(
            topics=[dld.DescribableLogDirTopic(topic=n, partitions=[0, 1, 7]) for n in ("lies-here", "nope")]
        )
        for _ in range(50):  # Apache Kafka makes the logs of a new topic some time after it has answered
            (folder,) = client.ask(asked, dld.DescribeLogDirsResponse, 5).results
            if sum(len(topic.partitions) for topic in folder.topics) == 2:
                break
            time.sleep(0.1)
        found = []
        for version in range(1, 6):
            (told,) = client.ask(asked, dld.DescribeLogDirsResponse, version).results
            for topic in told.topics:
                parts = sorted((each.partition_index, each.offset_lag, each.is_future_key) for each in topic.partitions)
                found.append((version, told.error_code, topic.name, parts))
        codes = []
        for path in (folder.log_dir, "/nope", "nope", folder.log_dir + "/"):
            names = ("lies-here", "nope", "bad!", "", "x" * 213, "x" * 214)  # a longer one has no room for a copy
            for name, index in (("lies-here", 7), *((name, 0) for name in names)):
                topic = arld.AlterReplicaLogDirTopic(name=name, partitions=[index])
                request = arld.AlterReplicaLogDirsRequest(dirs=[arld.AlterReplicaLogDir(path=path, topics=[topic])])
                for version in (1, 2):
                    response = client.ask(request, arld.AlterReplicaLogDirsResponse, version)
                    codes.append([part.error_code for result in response.results for part in result.partitions])
        answers.append((found, folder.is_cordoned, folder.error_code, codes))
    assert answers[0] == answers[1]
