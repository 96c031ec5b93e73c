"""Owns: what is kept of a SCRAM password, how it is derived, which iteration counts are acceptable (RFC 5802, 7677).
Must never know: the exchange of a login, how credentials are stored, the wire.

A client that sets a password sends only ``SaltedPassword``, and even that is not kept::

    ClientKey  = HMAC(SaltedPassword, "Client Key")      StoredKey = H(ClientKey)     checks a client's proof
    ServerKey  = HMAC(SaltedPassword, "Server Key")                                   proves the server to the client

So who reads the store cannot log in with what it finds.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum

from kafka_server.domain.errors import UnacceptableCredential, UnsupportedSaslMechanism

ITERATIONS_MIN = 4096
ITERATIONS_MAX = 16384
"""More would let a login cost the server, and everybody who waits behind it, too much."""


class ScramMechanism(IntEnum):
    """The numbers are those of the credential APIs (KIP-554)."""

    SHA_256 = 1
    SHA_512 = 2

    @property
    def hash_name(self) -> str:
        return "sha256" if self is ScramMechanism.SHA_256 else "sha512"


@dataclass(frozen=True, slots=True)
class ScramCredential:
    """What the server needs to check one user under one mechanism."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def derive_credential(
    mechanism: ScramMechanism, iterations: int, salt: bytes, salted_password: bytes
) -> ScramCredential:
    """Raises UnacceptableCredential for an iteration count out of bounds or no salted password."""
    if iterations < ITERATIONS_MIN:
        raise UnacceptableCredential(f"{iterations} iterations are too few; at least {ITERATIONS_MIN} are needed")
    if iterations > ITERATIONS_MAX:
        raise UnacceptableCredential(f"{iterations} iterations are too many; at most {ITERATIONS_MAX} are allowed")
    if not salted_password:
        raise UnacceptableCredential("The salted password is empty")
    name = mechanism.hash_name
    client_key = hmac.digest(salted_password, b"Client Key", name)
    server_key = hmac.digest(salted_password, b"Server Key", name)
    return ScramCredential(salt, iterations, hashlib.new(name, client_key).digest(), server_key)


def mechanism_of(user: str, number: int) -> ScramMechanism:
    """Raises UnacceptableCredential for a user without name, UnsupportedSaslMechanism for an unknown number."""
    if not user:
        raise UnacceptableCredential("The user name must not be empty")
    try:
        return ScramMechanism(number)
    except ValueError:
        raise UnsupportedSaslMechanism(f"Unknown SCRAM mechanism {number}") from None
