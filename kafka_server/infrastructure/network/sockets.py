"""Owns: binding the sockets of a listener, and saying why one could not be bound. Must never know: connections."""

from __future__ import annotations

import errno
import os
import socket

from kafka_server.infrastructure.network.listener import Listener


class BindError(Exception):
    """A listener could not be opened; the text says which, why, and where possible who has the port."""


def open_sockets(listener: Listener, send_bytes: int, receive_bytes: int) -> tuple[Listener, list[socket.socket]]:
    """Binds every address that the host stands for, all to one port, and tells which. Buffer sizes as in ``Limits``."""
    addresses = _resolve(listener)
    port = listener.port
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            _prepare(sock, family, send_bytes, receive_bytes)
            sock.bind((address[0], port, *address[2:]))
            port = sock.getsockname()[1]
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise BindError(why_not(f"listen on {listener}", listener.host, port, error)) from error
    return Listener(listener.name, listener.host, port, listener.security_protocol), sockets


def why_not(what: str, host: str, port: int, error: OSError) -> str:
    """``Cannot <what>: <why>`` for an address that could not be opened; where possible it names who has the port."""
    where = f"Cannot {what}"
    if error.errno == errno.EADDRINUSE:
        from kafka_server.infrastructure.network.port_owner import who_listens_on  # only a failed start needs it

        owner = who_listens_on(port)
        return f"{where}: port {port} is taken" + (f" by {owner}" if owner else " by another process")
    if error.errno == errno.EACCES:
        return f"{where}: the operating system does not allow this user to open port {port}; choose one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: {host} is not an address of this machine"
    if isinstance(error, socket.gaierror):
        return f"{where}: the host {host!r} is unknown ({error.strerror})"
    return f"{where}: {error.strerror or error}"


def _prepare(sock: socket.socket, family: int, send_bytes: int, receive_bytes: int) -> None:
    sock.setblocking(False)
    if os.name == "posix":  # on Windows the same option would let two servers share a port
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    # Accepted sockets inherit the buffer sizes.
    if send_bytes > 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
    if receive_bytes > 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)


def _resolve(listener: Listener) -> list[tuple[int, tuple[str, int, int, int] | tuple[str, int]]]:
    """Family and address of each socket to open; all interfaces means IPv4 and, where the machine has it, IPv6."""
    try:
        found = socket.getaddrinfo(
            listener.host or None, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise BindError(f"Cannot listen on {listener}: the host {listener.host!r} is unknown ({error})") from error
    addresses: list[tuple[int, tuple[str, int, int, int] | tuple[str, int]]] = []
    for family, _, _, _, address in found:
        if (family, address) not in addresses and (family == socket.AF_INET or _has_ipv6(address)):
            addresses.append((family, address))  # type: ignore[arg-type]  # the stubs name the tuple's parts str | int
    return sorted(addresses, key=lambda entry: entry[0] != socket.AF_INET)


def _has_ipv6(address: object) -> bool:
    """A machine may resolve IPv6 names without having IPv6: then that address is left out."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((address[0], 0))  # type: ignore[index]
    except OSError as error:
        return error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
    return True
