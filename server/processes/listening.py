"""The socket on which all workers of a server accept connections."""

from __future__ import annotations

import errno
import socket

from bicameral.errors import ConfigError

_BACKLOG = 2048

_REASONS = {
    errno.EADDRINUSE: "another program listens there; stop it, or choose another port",
    errno.EACCES: "ports below 1024 need privileges; choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address; 127.0.0.1 is always there, 0.0.0.0 "
    "stands for all of them",
}


def listen(host: str, port: int) -> socket.socket:
    """Take a port for this server alone; connections wait until a worker accepts them.

    Args:
        host: Name or address to listen on.
        port: TCP port; 0: any free one, which `getsockname` tells.

    Raises:
        ConfigError: If the port or the address cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"cannot listen on {host!r}: {error}; expected an address or a name of this machine"
        ) from error
    try:
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, str(error))
        raise ConfigError(f"cannot listen on {host} port {port}: {reason}") from error
