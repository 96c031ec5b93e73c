"""Owns: the operations that can be allowed or denied, and which of them make sense on which kind of resource.
Must never know: principals, rules, who asks.
"""

from __future__ import annotations

from enum import IntEnum


class Operation(IntEnum):
    """An operation on a resource; the numbers are those of ACLs on the wire."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12


NOT_ASKED = -(2**31)
"""What "authorized operations" fields hold when the client did not ask for them."""

TOPIC_OPERATIONS = (
    Operation.READ,
    Operation.WRITE,
    Operation.CREATE,
    Operation.DELETE,
    Operation.ALTER,
    Operation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS,
    Operation.ALTER_CONFIGS,
)
GROUP_OPERATIONS = (
    Operation.READ,
    Operation.DELETE,
    Operation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS,
    Operation.ALTER_CONFIGS,
)
CLUSTER_OPERATIONS = (
    Operation.CREATE,
    Operation.ALTER,
    Operation.DESCRIBE,
    Operation.CLUSTER_ACTION,
    Operation.DESCRIBE_CONFIGS,
    Operation.ALTER_CONFIGS,
    Operation.IDEMPOTENT_WRITE,
)


def operation_bits(operations: tuple[Operation, ...]) -> int:
    """The operations as the bit field of KIP-430: bit n stands for operation n."""
    bits = 0
    for operation in operations:
        bits |= 1 << operation
    return bits
