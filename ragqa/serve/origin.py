"""Where a request comes from: the server's own page and programs may send requests, pages of other sites may not.

A browser sends requests of other sites' pages with all cookies. It names the sender in `Origin` and `Sec-Fetch-Site`, which a
page cannot change. A site may also point its own name to this machine (DNS rebinding); then `Host` contains that name.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ragqa.errors import InputError
from ragqa.serve.limits import Refused

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104
PORTS = {"http": 80, "https": 443}

# browsers send names in lower case, and IP addresses in their shortest form
_NAME = r"[a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?|\[[0-9a-f:.]+\]"
_HOST = re.compile(rf"({_NAME})(?::([0-9]{{1,5}}))?")
_ORIGIN = re.compile(r"(https?)://(.+)")


@dataclass(frozen=True, slots=True)
class Names:
    """The host names of the page. If `own_addresses`, also the IP address the visitor connected to, unless it is loopback."""

    names: frozenset[str] = LOOPBACK_NAMES
    own_addresses: bool = False

    def hold(self, name: str, server: str) -> bool:
        """Return whether the page may be called `name` on a connection to the address `server`."""
        if name in self.names:
            return True
        return self.own_addresses and name.strip("[]") == server and not server.startswith("127.")


def read_names(host: str, others: Iterable[str]) -> Names:
    """Return the names of a server that listens on `host` and has the names `others` too. Raises `InputError`."""
    names = [_read_name(name) for name in others]
    if host not in WILDCARDS:
        names.append(f"[{host.lower()}]" if ":" in host else host.lower())
    return Names(LOOPBACK_NAMES.union(names), host in WILDCARDS)


def _read_name(given: str) -> str:
    name = given.lower()
    if name.count(":") > 1 and not name.startswith("["):
        name = f"[{name}]"
    if not re.fullmatch(_NAME, name):
        raise InputError(f"{given} is not a host name; give it without scheme, port and path, such as chat.example.org")
    return name


def values(scope: Any, header: bytes) -> list[str]:
    """Return the values of a header of an ASGI request."""
    return [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == header]


def check_origin(scope: Any, names: Names, *, visit: bool) -> None:
    """Raise `Refused` if the request names another host, or if another site's page sent it.

    If `visit`, other sites may link here.
    """
    hosts, origins = _check_hosts(scope, names), values(scope, b"origin")
    if origins and not (len(origins) == 1 and _is_same(origins[0], hosts[-1], scope["scheme"])):
        raise Refused(403, "Pages of other sites cannot use this server.")
    if any(site not in ("same-origin", "none") for site in values(scope, b"sec-fetch-site")) and not (
        visit and values(scope, b"sec-fetch-mode") == ["navigate"] and values(scope, b"sec-fetch-dest") == ["document"]
    ):
        raise Refused(403, "Pages of other sites cannot use this server.")


def _check_hosts(scope: Any, names: Names) -> list[str]:
    """Return the value of `Host`, followed by the host that a reverse proxy forwards, if any."""
    hosts, forwarded = values(scope, b"host"), values(scope, b"x-forwarded-host")
    if len(hosts) != 1:
        raise Refused(400, "A request needs one Host header.")
    hosts += [",".join(forwarded).split(",")[0].strip()] if forwarded else []  # the first is what the visitor asked for
    for host in hosts:
        found = _HOST.fullmatch(host)
        if found is None or not names.hold(found[1], (scope.get("server") or ("",))[0]):
            name = found[1] if found else "this name"
            raise Refused(403, f"This server is not called {name}. Start it with --allow-host NAME to allow a name.")
    return hosts


def _is_same(origin: str, host: str, scheme: str) -> bool:
    """Return whether a page of `origin` comes from `host`; behind a proxy with TLS, the request's own scheme is http."""
    found = _ORIGIN.fullmatch(origin)
    if found is None or (scheme == "https" and found[1] != "https"):
        return False
    return _place(found[2], found[1]) == _place(host, found[1])


def _place(host: str, scheme: str) -> tuple[str, int] | None:
    found = _HOST.fullmatch(host)
    return (found[1], int(found[2] or PORTS[scheme])) if found else None
