"""The HTTP server of the page, on a socket that is bound before the server starts."""

import errno
import socket
import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from ragqa.demo.origin import WILDCARDS
from ragqa.errors import InputError, RagqaError

if TYPE_CHECKING:
    import uvicorn

STOP_S = 5.0  # for requests that are being answered
START_S = 30.0


def bind(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens on the host, on any free port for None. Raises `InputError`."""
    if not 0 <= (port or 0) <= 65535:
        raise InputError(f"port {port} is not between 0 and 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), port or 0), family=family)
    except (OSError, UnicodeError) as error:
        used = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "is in use" if used else f"cannot be listened on ({error})"
        raise InputError(f"{host}:{port} {reason}; choose another host or port") from error


def check_free(host: str, port: int | None) -> None:
    """Raise `InputError` if a server cannot listen on the host and port."""
    bind(host, port).close()


def address_of(host: str, listener: socket.socket) -> str:
    """Return the URL of the page for a browser on this machine."""
    name = "localhost" if host in WILDCARDS else f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}/"


class Server:
    """An HTTP server in a thread. `proxied`: believe what a reverse proxy on this machine says of its visitors."""

    def __init__(self, app: Any, listener: socket.socket, *, proxied: bool = False) -> None:
        self._server = _make(app, proxied)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True, name="ragqa demo")

    def start(self) -> None:
        """Start it and wait until it answers. Raises `RagqaError` if it does not."""
        self._thread.start()
        end = monotonic() + START_S
        while not self._server.started:
            if not self._thread.is_alive() or monotonic() > end:
                raise RagqaError("the chat's server did not start; its reason stands above")
            sleep(0.01)

    def close(self) -> None:
        """Stop it; requests that are being answered have a few seconds to end."""
        self._server.should_exit = True
        self._thread.join(timeout=STOP_S)


def _make(app: Any, proxied: bool) -> "uvicorn.Server":
    import uvicorn

    from ragqa.demo.protocol import Protocol

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            log_level="critical",  # the gate logs what fails
            access_log=False,
            server_header=False,
            proxy_headers=proxied,
        )
    )
