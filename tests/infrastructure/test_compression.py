"""The codecs, and what keeps a small block from filling the memory."""

from __future__ import annotations

import gzip
import os

import lz4.frame
import pytest
import zstandard
from cramjam import snappy
from hypothesis import given
from hypothesis import strategies as st
from kafka import codec as peer

from kafka_server.domain.errors import InvalidRecord
from kafka_server.domain.record_batch import CODEC_NAMES
from kafka_server.infrastructure.compression import Codecs, xxhash32

CODECS = Codecs()
CAREFUL = Codecs(size_max=1_000_000, ratio_max=100, ratio_free_bytes=1_000)
CODEC_NUMBERS = range(5)
PEER_ENCODE = [bytes, peer.gzip_encode, peer.snappy_encode, peer.lz4_encode, peer.zstd_encode]
PEER_DECODE = [bytes, peer.gzip_decode, peer.snappy_decode, peer.lz4_decode, peer.zstd_decode]
BLOCKS = [b"", b"x", b"hello kafka " * 20_000, os.urandom(100_000)]


@pytest.mark.parametrize("codec", CODEC_NUMBERS, ids=CODEC_NAMES)
@pytest.mark.parametrize("block", BLOCKS, ids=["empty", "one byte", "text", "noise"])
def test_a_block_comes_back_and_another_library_agrees(codec: int, block: bytes) -> None:
    ours = CODECS.compress(codec, memoryview(block))

    assert CODECS.decompress(codec, memoryview(ours)) == block
    if block or codec != 2:  # kafka-python's snappy stumbles over a frame without chunks; Kafka does not.
        assert bytes(PEER_DECODE[codec](ours)) == block
        assert CODECS.decompress(codec, PEER_ENCODE[codec](block)) == block


def test_snappy_is_read_without_framing_too() -> None:
    assert CODECS.decompress(2, bytes(snappy.compress_raw(b"raw" * 100))) == b"raw" * 100


def test_several_gzip_members_or_lz4_frames_in_a_row_all_count() -> None:
    assert CODECS.decompress(1, gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"
    assert CODECS.decompress(3, lz4.frame.compress(b"a") + lz4.frame.compress(b"b")) == b"ab"


BOMBS = [
    (1, gzip.compress(bytes(5_000_000))),
    (2, bytes(snappy.compress_raw(bytes(5_000_000)))),
    (3, lz4.frame.compress(bytes(5_000_000))),
    (4, zstandard.ZstdCompressor().compress(bytes(5_000_000))),
    (4, zstandard.ZstdCompressor(write_content_size=False).compress(bytes(5_000_000))),
]


@pytest.mark.parametrize(("codec", "bomb"), BOMBS)
def test_a_bomb_is_defused(codec: int, bomb: bytes) -> None:
    with pytest.raises(InvalidRecord, match="grows beyond"):
        CAREFUL.decompress(codec, bomb)


def test_the_ratio_counts_only_above_a_free_allowance() -> None:
    assert len(CAREFUL.decompress(1, gzip.compress(bytes(1_000)))) == 1_000
    with pytest.raises(InvalidRecord):
        CAREFUL.decompress(1, gzip.compress(bytes(10_000)))


@pytest.mark.parametrize("codec", CODEC_NUMBERS[1:], ids=CODEC_NAMES[1:])
@given(block=st.binary(max_size=200))
def test_garbage_is_an_invalid_record_or_a_block(codec: int, block: bytes) -> None:
    try:
        assert isinstance(CODECS.decompress(codec, block), bytes)
    except InvalidRecord:
        assert block or codec


def test_a_codec_that_does_not_exist_is_an_invalid_record() -> None:
    with pytest.raises(InvalidRecord):
        CODECS.decompress(5, b"")
    with pytest.raises(InvalidRecord):
        CODECS.compress(7, b"")


def test_the_hash_in_lz4_headers_is_the_one_that_the_lz4_library_writes() -> None:
    for size in (0, 10, 100_000):
        for content_size in (False, True):
            frame = lz4.frame.compress(bytes(size), store_size=content_size)
            end = 14 if content_size and size else 6
            assert frame[end] == (xxhash32(frame[4:end]) >> 8) & 0xFF


@pytest.mark.parametrize("size", [0, 1, 5, 15, 16, 17, 100])
def test_the_hash_agrees_with_the_reference_library(size: int) -> None:
    xxhash = pytest.importorskip("xxhash")
    data = os.urandom(size)

    assert xxhash32(data) == xxhash.xxh32(data).intdigest()


def test_levels_reach_the_libraries() -> None:
    words = [os.urandom(5) for _ in range(300)]
    block = b" ".join(words[number * number % 301 % 300] for number in range(20_000))

    assert len(CODECS.compress(1, block, 9)) < len(CODECS.compress(1, block, 1))
    assert len(CODECS.compress(3, block, 12)) < len(CODECS.compress(3, block, 9))
    assert len(CODECS.compress(4, block, 19)) < len(CODECS.compress(4, block, 1))
