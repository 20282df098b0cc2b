"""The socket of a server, bound before the server starts, and its address."""

import errno
import socket

from ragqa.errors import InputError
from ragqa.serve.origin import WILDCARDS


def bind(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens on the host and port; None takes a free port. Raises `InputError`."""
    if not 0 <= (port or 0) <= 65535:
        raise InputError(f"port {port} is not between 0 and 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), port or 0), family=family)
    except (OSError, UnicodeError) as error:
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "is in use" if in_use else f"cannot be listened on ({error})"
        raise InputError(f"{host}:{port} {reason}; choose another host or port") from error


def check_free(host: str, port: int | None) -> None:
    """Raise `InputError` if a server cannot listen on the host and port."""
    bind(host, port).close()


def address_of(host: str, listener: socket.socket) -> str:
    """Return the URL of the server for a client on this machine."""
    name = "localhost" if host in WILDCARDS else f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}/"
