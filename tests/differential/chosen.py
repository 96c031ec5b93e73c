"""Where we answer differently from Apache Kafka on purpose, with the reason. Every other difference is a bug.

Owns: that table. Must never know: how answers are got. A difference reads ``Api vVersion: path: theirs, ours``; where
lists have the same elements in another order it reads ``Api vVersion: path: order [...], [...]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

CHOSEN = {
    # What one node without ZooKeeper, replicas or plugins has not, or has in another way.
    r".*min\.insync\.replicas.*": "eligible leader replicas set a dynamic default in Kafka",
    r"AlterConfigs .*responses\[\]\.error_code: 40, 0": "they forbid Kafka to replace the settings of all brokers",
    r"ApiVersions .*api_keys\[\d+\]: only theirs": "APIs that we do not serve yet",
    r"ApiVersions .*api_keys\[7[12]\]: only ours": "Apache Kafka offers telemetry to those who install a plugin",
    r"ApiVersions .*api_keys\[\d+\]\.m(in|ax)_version": "we serve from v0 on, and leave out unstable versions",
    r"ApiVersions .*(supported|finalized)_features\[.*\]: only theirs": "features that we do not have yet",
    r"DescribeConfigs .*\[(advertised|controller|inter|listener|log\.dir|process)[^]]*\]\.(val|con|syn)": "own start",
    r"DescribeConfigs .*\[(offsets\.topic|share\.coord|transaction\.state)[^]]*\]\.(val|con|syn)": "the same",
    r"DescribeConfigs .*\[group\.initial\.rebalance\.delay\.ms\]\.(config_source|syn)": "0 is our default",
    r"DescribeConfigs .*\[(cluster\.id|flush|log\.level|metrics\..*|ready\.file|shutdown\..*|storage)\]: o": "own keys",
    r"DescribeConfigs .*\.configs\[\]\.documentation: False, True": "what a key without a name is about",
    r"DescribeConfigs .*\.configs\[(kafka|org|io|com|state|root)[^]]*\](: only|\.val)": "own loggers",
    r"DescribeLogDirs .*(total|usable)_bytes": "our broker here keeps everything in memory",
    r"DescribeQuorum .*(epoch|high_watermark|log_end_offset)": "metadata is no replicated log here",
    r"DescribeQuorum .*timestamp": "a moment",
    r"DescribeQuorum .*listeners": "we have no listener of its own for controllers",
    r"GetTelemetrySubscriptions .*subscription_id": "drawn by each broker in its own way",
    r"ListConfigResources .*config_resources\[(?!1\])": "topics of other conversations",
    # Where Kafka stumbles: it answers UNKNOWN_SERVER_ERROR to what it did not think of.
    r"IncrementalAlterConfigs .*responses\[\]\.error_code: 40, 42": "a topic without a name, and a fault besides",
    r"IncrementalAlterConfigs .*responses\[unknown-operation\]\.error_code: -1, 42": "an operation that is not known",
    r"DescribeTopicPartitions v0: topics\[.*\]\.(error_code|topic_authorized_operations): -(1|2147483648),": "no name",
    r"Metadata v1[23]: (topics\[.*\]\.)?error_code: -1, 42": "a null name without id",
    r"CreateDelegationToken v3: (error_code: -1, 64|principal_)": "a name of an owner without a type",
    r"Fetch v1[3-8]: (error_code: -1, 0|responses\[(zero|)\]: only ours)": "the zero id of a topic",
    r"(Create|Delete|Describe)Acls .*'hung up'": "Kafka hangs up on an unknown kind of resource; we say what is true",
    # Where Kafka keeps a list in a hash map, so that its order says nothing. Ours is the request's, or by name.
    r"CreateTopics .*topics: order": "a hash map",
    r"CreatePartitions .*results: order": "a hash map",
    r"DeleteTopics .*responses: order": "a hash map",
    r"Metadata .*topics: order": "a hash map; and what is not there comes last",
    r"DescribeConfigs .*configs: order": "a hash map",
    r"(Describe|Alter)UserScramCredentials .*results: order": "a hash map",
    r"Produce .*: order": "a hash map",
    r"Fetch .*responses: order .*nobody": "Kafka puts what it refuses unread behind the rest, unknown ids first",
}

CHOSEN_AGAINST_AN_OLD_ONE = {
    r"OffsetCommit v0: .*error_code: 35, ": "without ZooKeeper Kafka gave version 0 up; we serve clients from 0.8 on",
    r"OffsetFetch v0: .*(error_code: 35|committed_offset: -1|metadata: ''), ": "the same",
    r"ListOffsets v0: .*error_code: -1, 0": "Kafka stumbles over a negative number of offsets",
    r"ListOffsets v0: .*old_style_offsets: \[6, 6\], \[6\]": "a log without records is told once",
    r"DescribeConfigs v0: .*is_default: False, True": "Kafka forgets to fill it in",
    r"Offset(Commit|Fetch) .*topics.*: order": "a hash map",
    r"Metadata .*partitions: order": "a hash map",
}
"""Against Kafka 3.9 in the versions that 4.0 removed, besides the above."""


def unexpected(differences: Iterable[str], *, from_an_old_one: bool = False) -> list[str]:
    """The differences that nobody chose."""
    chosen = [*CHOSEN, *(CHOSEN_AGAINST_AN_OLD_ONE if from_an_old_one else ())]
    return [line for line in differences if not any(re.match(pattern, line) for pattern in chosen)]
