"""A string has at most 32,767 bytes, in compact form too: the bound that Kafka's own codecs keep."""

from __future__ import annotations

import pytest
from kafka_protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from kafka_protocol.wire import EncodeError, ProtocolError

FLEXIBLE, LEGACY = 12, 8


@pytest.mark.parametrize("version", [FLEXIBLE, LEGACY])
def test_the_longest_string_goes_both_ways(version: int) -> None:
    request = MetadataRequest(topics=[MetadataRequestTopic(name="x" * 32767)])
    assert MetadataRequest.decode(request.encode(version), version) == request


@pytest.mark.parametrize("version", [FLEXIBLE, LEGACY])
def test_a_longer_one_is_not_written(version: int) -> None:
    with pytest.raises(EncodeError):
        MetadataRequest(topics=[MetadataRequestTopic(name="x" * 32768)]).encode(version)


def test_a_longer_one_is_not_read() -> None:
    short = MetadataRequest(topics=[MetadataRequestTopic(name="x" * 32767)]).encode(FLEXIBLE)
    length = short.index(b"\x80\x80\x02")
    longer = short[:length] + b"\x81\x80\x02" + b"x" + short[length + 3 :]
    with pytest.raises(ProtocolError, match=r"topics\[0\]\.name at byte \d+: a string of 32768 bytes"):
        MetadataRequest.decode(longer, FLEXIBLE)
