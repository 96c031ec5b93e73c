"""Owns: the five codecs of the record formats, and the caps that keep a small block from filling the memory.
Must never know: batches, records, topics.

Kafka's choices, which every client shares:

- gzip: RFC 1952.
- snappy: the framing of the Java library ("xerial"), a 16-byte header and then chunks, each with its length::

      82 "SNAPPY" 00 | version int32 | compatible version int32 | (length int32, raw snappy block)*

  Some clients send one raw block without framing. Both are read; the framing is written.
- lz4: the frame format with independent 64 KiB blocks. Message format v0 has lz4 frames whose header checksum was
  computed over the magic number too (KAFKA-3160); readers of v0 ignore it and the writer repeats the mistake.
- zstd: the frame format (KIP-110).

The libraries are imported at first use: a broker whose clients never compress does not pay for them.
"""

from __future__ import annotations

import zlib
from struct import Struct

from kafka_server.domain.errors import InvalidRecord
from kafka_server.domain.record_batch import CODEC_GZIP, CODEC_LZ4, CODEC_NAMES, CODEC_NONE, CODEC_SNAPPY, CODEC_ZSTD

Buffer = bytes | bytearray | memoryview

_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER = _XERIAL_MAGIC + b"\x00\x00\x00\x01\x00\x00\x00\x01"
_XERIAL_BLOCK_SIZE = 32 * 1024
_LENGTH = Struct(">i")
_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_LZ4_LEVEL_DEFAULT = 9
_ZSTD_LEVEL_DEFAULT = 3
_STEP = 256 * 1024


class Codecs:
    """``Compression`` on zlib, cramjam, lz4 and zstandard.

    ``size_max`` bounds the bytes that one block may become. ``ratio_max`` bounds the growth: text may shrink a hundred
    times and runs of one byte a thousand times, so the ratio counts only above ``ratio_free_bytes``.
    """

    __slots__ = ("_ratio_free_bytes", "_ratio_max", "_size_max")

    def __init__(
        self, size_max: int = 128 * 1024 * 1024, ratio_max: int = 1024, ratio_free_bytes: int = 8 * 1024 * 1024
    ) -> None:
        self._size_max = size_max
        self._ratio_max = ratio_max
        self._ratio_free_bytes = ratio_free_bytes

    # ---- compress ----------------------------------------------------------------------------------------------------

    def compress(self, codec: int, block: Buffer, level: int | None = None) -> bytes:
        if codec == CODEC_NONE:
            return bytes(block)
        if codec == CODEC_GZIP:
            deflate = zlib.compressobj(-1 if level is None else level, zlib.DEFLATED, 31)
            return deflate.compress(block) + deflate.flush()
        if codec == CODEC_SNAPPY:
            return _compress_xerial(block)
        if codec == CODEC_LZ4:
            return _compress_lz4(block, _LZ4_LEVEL_DEFAULT if level is None else level)
        if codec == CODEC_ZSTD:
            return _compress_zstd(block, _ZSTD_LEVEL_DEFAULT if level is None else level)
        raise InvalidRecord(f"There is no compression codec {codec}")

    def compress_legacy(self, codec: int, block: Buffer) -> bytes:
        compressed = self.compress(codec, block)
        return _break_lz4_checksum(compressed) if codec == CODEC_LZ4 else compressed

    # ---- decompress --------------------------------------------------------------------------------------------------

    def decompress(self, codec: int, block: Buffer) -> bytes:
        cap = self._cap(len(block))
        if codec == CODEC_NONE:
            return bytes(block)
        if codec == CODEC_GZIP:
            return _decompress_gzip(block, cap)
        if codec == CODEC_SNAPPY:
            return _decompress_snappy(block, cap)
        if codec == CODEC_LZ4:
            return _decompress_lz4(block, cap)
        if codec == CODEC_ZSTD:
            return _decompress_zstd(block, cap)
        raise InvalidRecord(f"There is no compression codec {codec}")

    def decompress_legacy(self, codec: int, block: Buffer) -> bytes:
        return self.decompress(codec, _mend_lz4_checksum(block) if codec == CODEC_LZ4 else block)

    def _cap(self, compressed_size: int) -> int:
        return min(self._size_max, max(self._ratio_free_bytes, compressed_size * self._ratio_max))


def _too_large(codec: int, cap: int) -> InvalidRecord:
    return InvalidRecord(f"The {CODEC_NAMES[codec]} block grows beyond {cap} bytes")


def _broken(codec: int, error: Exception) -> InvalidRecord:
    return InvalidRecord(f"The {CODEC_NAMES[codec]} block cannot be decompressed: {error}")


# ---- gzip ------------------------------------------------------------------------------------------------------------


def _decompress_gzip(block: Buffer, cap: int) -> bytes:
    # A gzip file may hold several members one after the other; all of them count.
    parts: list[bytes] = []
    size = 0
    rest: Buffer = block
    while True:
        inflate = zlib.decompressobj(31)
        try:
            part = inflate.decompress(rest, cap + 1 - size)
        except zlib.error as error:
            raise _broken(CODEC_GZIP, error) from error
        size += len(part)
        parts.append(part)
        if size > cap or inflate.unconsumed_tail:
            raise _too_large(CODEC_GZIP, cap)
        if not inflate.eof:
            raise InvalidRecord("The gzip block ends too early")
        rest = inflate.unused_data
        if not rest:
            return parts[0] if len(parts) == 1 else b"".join(parts)


# ---- snappy ----------------------------------------------------------------------------------------------------------


def _compress_xerial(block: Buffer) -> bytes:
    from cramjam import snappy

    view = memoryview(block)
    parts = [_XERIAL_HEADER]
    for start in range(0, len(view), _XERIAL_BLOCK_SIZE):
        chunk = bytes(snappy.compress_raw(view[start : start + _XERIAL_BLOCK_SIZE]))
        parts.append(_LENGTH.pack(len(chunk)))
        parts.append(chunk)
    return b"".join(parts)


def _decompress_snappy(block: Buffer, cap: int) -> bytes:
    view = memoryview(block)
    if bytes(view[:8]) != _XERIAL_MAGIC:
        return _decompress_snappy_raw(view, cap)
    parts: list[bytes] = []
    position = len(_XERIAL_HEADER)
    size = 0
    while position < len(view):
        if position + 4 > len(view):
            raise InvalidRecord("The snappy block ends within the length of a chunk")
        (length,) = _LENGTH.unpack_from(view, position)
        position += 4
        if length < 0 or position + length > len(view):
            raise InvalidRecord(f"A snappy chunk claims {length} bytes, {len(view) - position} are left")
        part = _decompress_snappy_raw(view[position : position + length], cap - size)
        size += len(part)
        parts.append(part)
        position += length
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _decompress_snappy_raw(view: memoryview, cap: int) -> bytes:
    from cramjam import DecompressionError, snappy

    # A raw block begins with the length it will have, so the cap is checked before a byte is allocated.
    try:
        if snappy.decompress_raw_len(view) > cap:
            raise _too_large(CODEC_SNAPPY, cap)
        return bytes(snappy.decompress_raw(view))
    except DecompressionError as error:
        raise _broken(CODEC_SNAPPY, error) from error


# ---- lz4 -------------------------------------------------------------------------------------------------------------


def _compress_lz4(block: Buffer, level: int) -> bytes:
    from lz4 import frame

    # Kafka's default level, 9, stands for its fast compressor; every other level for the thorough one (KIP-390).
    compressed: bytes = frame.compress(
        block,
        compression_level=0 if level == _LZ4_LEVEL_DEFAULT else level,
        block_size=frame.BLOCKSIZE_MAX64KB,
        block_linked=False,
        store_size=False,
    )
    return compressed


def _decompress_lz4(block: Buffer, cap: int) -> bytes:
    from lz4 import frame

    parts: list[bytes] = []
    size = 0
    rest: Buffer = block
    while True:
        stream = frame.LZ4FrameDecompressor()
        try:
            part = stream.decompress(rest, max_length=min(_STEP, cap + 1 - size))
            while True:
                size += len(part)
                parts.append(part)
                if size > cap:
                    raise _too_large(CODEC_LZ4, cap)
                if stream.eof or (stream.needs_input and not part):
                    break
                part = stream.decompress(b"", max_length=min(_STEP, cap + 1 - size))
        except (RuntimeError, EOFError) as error:
            raise _broken(CODEC_LZ4, error) from error
        if not stream.eof:
            raise InvalidRecord("The lz4 block ends too early")
        rest = stream.unused_data or b""
        if not rest:
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _lz4_descriptor_end(frame: Buffer) -> int:
    """Where the header checksum of an lz4 frame lies: behind magic, flags, block descriptor and optional fields."""
    if len(frame) < 7 or bytes(frame[:4]) != _LZ4_MAGIC:
        raise InvalidRecord("The lz4 block does not start with a frame header")
    flags = frame[4]
    end = 6 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    if len(frame) <= end:
        raise InvalidRecord("The lz4 block ends within its frame header")
    return end


def _break_lz4_checksum(frame: bytes) -> bytes:
    end = _lz4_descriptor_end(frame)
    checksum = (xxhash32(frame[:end]) >> 8) & 0xFF
    return b"".join((frame[:end], bytes((checksum,)), frame[end + 1 :]))


def _mend_lz4_checksum(frame: Buffer) -> bytes:
    end = _lz4_descriptor_end(frame)
    checksum = (xxhash32(bytes(frame[4:end])) >> 8) & 0xFF
    return b"".join((frame[:end], bytes((checksum,)), frame[end + 1 :]))


def xxhash32(data: bytes, seed: int = 0) -> int:
    """xxHash32 of fewer than 16 bytes (a frame descriptor with its magic has up to 18, so the lanes are there too)."""
    mask = 0xFFFFFFFF
    p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393

    def rotate(value: int, bits: int) -> int:
        return ((value << bits) | (value >> (32 - bits))) & mask

    length = len(data)
    position = 0
    if length >= 16:
        lanes = [(seed + p1 + p2) & mask, (seed + p2) & mask, seed, (seed - p1) & mask]
        while position + 16 <= length:
            for lane in range(4):
                word = int.from_bytes(data[position : position + 4], "little")
                lanes[lane] = rotate((lanes[lane] + word * p2) & mask, 13) * p1 & mask
                position += 4
        value = (rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18)) & mask
    else:
        value = (seed + p5) & mask
    value = (value + length) & mask
    while position + 4 <= length:
        word = int.from_bytes(data[position : position + 4], "little")
        value = rotate((value + word * p3) & mask, 17) * p4 & mask
        position += 4
    for byte in data[position:]:
        value = rotate((value + byte * p5) & mask, 11) * p1 & mask
    value = (value ^ (value >> 15)) * p2 & mask
    value = (value ^ (value >> 13)) * p3 & mask
    return value ^ (value >> 16)


# ---- zstd ------------------------------------------------------------------------------------------------------------


def _compress_zstd(block: Buffer, level: int) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=level).compress(block)


def _decompress_zstd(block: Buffer, cap: int) -> bytes:
    import zstandard

    # The one-shot call trusts the size that a frame declares, whatever maximum it is given; a reader does not.
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(block, read_across_frames=True)
        parts: list[bytes] = []
        size = 0
        while part := reader.read(min(_STEP, cap + 1 - size)):
            size += len(part)
            parts.append(part)
            if size > cap:
                raise _too_large(CODEC_ZSTD, cap)
    except zstandard.ZstdError as error:
        raise _broken(CODEC_ZSTD, error) from error
    return parts[0] if len(parts) == 1 else b"".join(parts)
