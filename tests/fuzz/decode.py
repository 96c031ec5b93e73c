"""Fuzzes every decoder of the generated protocol with atheris (libFuzzer for Python).

Owns: the target. Must never know: the schemas beyond what the generated classes say about themselves.

    make peers
    python -m tests.fuzz.decode                          until interrupted
    python -m tests.fuzz.decode CORPUS -runs=1000000     with a folder that keeps what found new paths
    python -m tests.fuzz.decode crash-...                one input that a run wrote down

The first byte of an input chooses the message, the second its version, the rest is the body. A decoder has to answer
with ProtocolError or with a message; such a message has to be writable, and what is written has to read as the same.
"""

from __future__ import annotations

import sys

import kafka_protocol

NAMES = sorted(kafka_protocol.MESSAGES)


def check(data: bytes) -> None:
    """Decodes one input. Raises: AssertionError, or whatever else a decoder must not let out."""
    # Imported here and not above, because only what is imported under the instrumentation is measured.
    from kafka_protocol.wire import ProtocolError

    if len(data) < 2:
        return
    message = kafka_protocol.load(NAMES[data[0] % len(NAMES)])
    version = message.min_version + data[1] % (message.max_version - message.min_version + 1)
    body = data[2:]
    try:
        decoded = message.decode(body, version)
    except ProtocolError as error:
        if not 0 <= error.offset <= len(body):
            raise AssertionError(f"{error}: the offset is outside of the {len(body)} bytes") from error
        return
    again = decoded.encode(version)
    # Compared as bytes and not as objects: NaN differs from itself.
    assert message.decode(again, version).encode(version) == again, f"{message.message_name} v{version}: {body.hex()}"


def main() -> None:
    import atheris

    # Modules are instrumented as they are imported, which happens when an input first asks for their message.
    with atheris.instrument_imports(include=["kafka_protocol"]):
        atheris.Setup(sys.argv, check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
