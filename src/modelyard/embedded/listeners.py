"""Sockets that listen, opened before there is somebody who answers: who connects waits until then."""

import socket

from modelyard.core import Problem

BACKLOG = 2048


def listening(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a listening socket.

    Parameters
    ----------
    port
        0: a free one.
    shared
        Others of this user may listen on the same port, too; the system spreads the callers over them.

    Raises
    ------
    Problem
        `port.unavailable` when the port is taken or the host is not this machine's.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        step = "name another one (--port, --gateway-port, --grpc-port), or 0 for a free one"
        raise Problem("port.unavailable", f"{host}:{port} cannot be listened on", str(error.strerror), step) from error
    return listener


def sharing(host: str, port: int, count: int) -> list[socket.socket]:
    """Return as many sockets that listen on one port, and leave room for more. Problem `port.unavailable`."""
    with listening(host, port) as probe:  # a port that somebody shares already would be joined, and not be refused
        free = probe.getsockname()[1]
    return [listening(host, free, shared=True) for _ in range(count)]


def address(host: str, port: int) -> str:
    """Return the URL that reaches a listener from this machine."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - compared
    return f"http://{reached}:{port}"
