"""What is kept of a SCRAM password."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from kafka_server.domain.errors import UnacceptableCredential
from kafka_server.domain.scram import ScramMechanism, derive_credential


def test_the_keys_are_those_of_the_example_in_rfc_7677() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    salted_password = hashlib.pbkdf2_hmac("sha256", b"pencil", salt, 4096)

    credential = derive_credential(ScramMechanism.SHA_256, 4096, salt, salted_password)

    # The server's signature in that exchange is an HMAC under this server key; the proof checks against the stored key.
    message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = hmac.digest(credential.server_key, message, "sha256")
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = base64.b64decode(b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_signature = hmac.digest(credential.stored_key, message, "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, client_signature, strict=True))
    assert hashlib.sha256(client_key).digest() == credential.stored_key


def test_each_mechanism_has_its_own_hash() -> None:
    sizes = {each: len(derive_credential(each, 4096, b"salt", b"x").stored_key) for each in ScramMechanism}

    assert sizes == {ScramMechanism.SHA_256: 32, ScramMechanism.SHA_512: 64}


@pytest.mark.parametrize(("iterations", "salted_password"), [(4095, b"x"), (16385, b"x"), (-1, b"x"), (4096, b"")])
def test_a_weak_an_expensive_or_an_empty_password_is_not_acceptable(iterations: int, salted_password: bytes) -> None:
    with pytest.raises(UnacceptableCredential):
        derive_credential(ScramMechanism.SHA_256, iterations, b"salt", salted_password)
