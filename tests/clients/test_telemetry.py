"""A real client pushes its metrics (KIP-714), and they are shown where an operator looks."""

from __future__ import annotations

import time
import urllib.request

from confluent_kafka import Producer
from kafka_protocol.messages import incremental_alter_configs as iac

from kafka_server.testing.broker import threaded_broker
from tests.differential.raw_client import RawClient

CLIENT_METRICS = 16
PATIENCE_S = 15


def test_what_librdkafka_measures_is_shown_with_its_client_id() -> None:
    with threaded_broker(**{"metrics.port": "0"}) as broker, RawClient(broker.bootstrap) as admin:
        wanted = {"metrics": "*", "interval.ms": "200", "match": "client_software_name=confluent-kafka-python"}
        configs = [iac.AlterableConfig(name=name, value=text) for name, text in wanted.items()]
        resource = iac.AlterConfigsResource(resource_type=CLIENT_METRICS, resource_name="watch", configs=configs)
        request = iac.IncrementalAlterConfigsRequest(resources=[resource])
        assert admin.ask(request, iac.IncrementalAlterConfigsResponse, 1).responses[0].error_code == 0
        producer = Producer({"bootstrap.servers": broker.bootstrap, "client.id": "the app"})

        deadline = time.monotonic() + PATIENCE_S
        shown = ""
        while 'kafka_client_metric{client_id="the app"' not in shown and time.monotonic() < deadline:
            producer.produce("orders", b"x")
            producer.flush(5)
            time.sleep(0.2)
            with urllib.request.urlopen(f"http://{broker.broker.metrics_address}/metrics") as page:
                shown = page.read().decode()

    lines = [line for line in shown.splitlines() if line.startswith('kafka_client_metric{client_id="the app"')]
    assert any('name="org.apache.kafka.producer.connection.creation.total"' in line for line in lines), lines
    assert "kafka_server_clientmetrics_instance_count 1" in shown
