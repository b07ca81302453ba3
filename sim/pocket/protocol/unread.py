"""Whether a client on this machine has read all that was sent to it (Linux sock_diag, man 7).

The kernel is asked for the peer's end of a connection by its two addresses; a peer on another
machine, or another kernel, is not known to it.
"""

from __future__ import annotations

import functools
import socket
import struct

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NO_COOKIE = 0xFFFFFFFF
_ALL_STATES = 0xFFFFFFFF
_TIMEOUT_S = 0.05

_header = struct.Struct("=IHHII")
_request = struct.Struct("=BBBBI")
_ports = struct.Struct("!HH")
_interface_and_cookie = struct.Struct("=III")
_ADDRESS_BYTES = 16
#: inet_diag_msg: family to retransmits (4), inet_diag_sockid (48), expires (4), then this.
_unread_bytes = struct.Struct("=I")
_UNREAD_AT = _header.size + 4 + 48 + 4


def unread_bytes(connected: socket.socket) -> int | None:
    """Return how much of what was sent the peer has not read yet.

    Args:
        connected: Our end of a TCP connection.

    Returns:
        Bytes in the peer's receive queue; None if the peer is not on this machine.
    """
    try:
        here, there = connected.getsockname(), connected.getpeername()
        identity = (
            _ports.pack(there[1], here[1])
            + _packed_address(connected.family, there[0])
            + _packed_address(connected.family, here[0])
            + _interface_and_cookie.pack(0, _NO_COOKIE, _NO_COOKIE)
        )
        body = _request.pack(connected.family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES) + identity
        kernel = _kernel()
        kernel.send(
            _header.pack(_header.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
            + body
        )
        answer = kernel.recv(4096)
    except OSError:
        return None
    _, kind, *_ = _header.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY or len(answer) < _UNREAD_AT + _unread_bytes.size:
        return None
    count: int = _unread_bytes.unpack_from(answer, _UNREAD_AT)[0]
    return count


@functools.cache
def _kernel() -> socket.socket:
    asking = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
    )
    asking.settimeout(_TIMEOUT_S)
    return asking


def _packed_address(family: int, address: str) -> bytes:
    return socket.inet_pton(family, address).ljust(_ADDRESS_BYTES, b"\0")
