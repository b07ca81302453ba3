"""One TCP port, shared by the processes of one server and by nobody else.

Every worker listens on a socket of its own (SO_REUSEPORT), so the kernel deals out the connections,
and a worker that dies takes only its own ones along. The option alone would let a second server of
the same user join in silently; hence the supervisor first takes the port for itself, and opens it
to its workers afterwards.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from bicameral.errors import ConfigError

_REASONS = {
    errno.EADDRINUSE: "another program listens there; stop it, or choose another port",
    errno.EACCES: "ports below 1024 need privileges; choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address; 127.0.0.1 is always there, 0.0.0.0 "
    "stands for all of them",
}


def reserve_port(host: str, port: int) -> socket.socket:
    """Take a port. As long as the socket is open, only `bind_shared` of the same user can join.

    The socket never listens, so it never gets a connection.

    Args:
        host: Name or address to listen on.
        port: TCP port; 0: any free one, which `getsockname` tells.

    Raises:
        ConfigError: If the port or the address cannot be had.
    """
    reserved = _bound(host, port, socket.SO_REUSEADDR)
    # From here on a second server's attempt fails although nobody listens yet ...
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    # ... and the workers' attempts succeed. Set before, it would have let this server in beside
    # another one.
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return reserved


def bind_shared(host: str, port: int) -> socket.socket:
    """Return a socket bound to a reserved port; connections come once it listens.

    Raises:
        ConfigError: If the port cannot be had.
    """
    return _bound(host, port, socket.SO_REUSEADDR, socket.SO_REUSEPORT)


def _bound(host: str, port: int, *options: int) -> socket.socket:
    family, address = _resolved(host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        reason = _REASONS.get(error.errno or 0, str(error))
        raise ConfigError(f"cannot listen on {host} port {port}: {reason}") from error
    return listener


def _resolved(host: str, port: int) -> tuple[int, Any]:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"cannot listen on {host!r}: {error}; expected an address or a name of this machine"
        ) from error
    return family, address
