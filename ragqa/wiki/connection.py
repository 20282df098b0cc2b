"""HTTP connections to the server of one wiki: proxies, passwords, cookies, redirects and a limit on the size of replies."""

import zlib
from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING

from ragqa.errors import InputError
from ragqa.process import is_own_host

if TYPE_CHECKING:
    import httpx

LARGEST_REPLY = 1 << 26  # bytes, decompressed
_MOST_REDIRECTS = 5  # of one request
_GZIP = 31  # window bits with which zlib reads gzip
_COMPRESSION_HEADERS = (b"content-encoding", b"content-length", b"transfer-encoding")
_SECRET = b"set-cookie"


class Connection:
    """Sends requests to the host of `url`, with its user and password as Basic authentication. Threads may share it."""

    def __init__(self, url: "httpx.URL") -> None:
        """Raise `InputError` if the environment names a proxy that cannot be used."""
        import httpx

        auth = httpx.BasicAuth(url.username, url.password) if url.userinfo else None
        self._client = httpx.Client(transport=_open_transport(url), auth=auth)
        self._moved: dict[httpx.URL, httpx.URL] = {}  # URLs without query; permanent redirects are followed once

    def send(self, request: "httpx.Request", within_s: float) -> "httpx.Response":
        """Send a request, follow redirects that stay on the host, and return the whole response, decompressed.

        A redirect to another host is returned as it is. Raises `httpx.RequestError` if no response arrives within `within_s`
        seconds, if it has more than 64 MiB, or if it is compressed with anything but gzip, the only method that is requested.
        """
        deadline = monotonic() + within_s
        target = request.url
        if moved := self._moved.get(target.copy_with(query=None)):
            target = moved.copy_with(query=target.query)
        for _ in range(_MOST_REDIRECTS + 1):
            response, following = self._send_once(request, target, deadline)
            if following is None or not may_follow(target, following, request.method):
                return response
            if response.status_code in (301, 308) and following.query == target.query:
                self._moved[request.url.copy_with(query=None)] = following.copy_with(query=None)
            target = following
        return response

    def _send_once(
        self, request: "httpx.Request", url: "httpx.URL", deadline: float
    ) -> "tuple[httpx.Response, httpx.URL | None]":
        """Return the whole response and the URL it redirects to.

        Cookies and passwords are not added to `request` itself, because caches store it.
        """
        import httpx

        headers = [
            (name, value) for name, value in request.headers.raw if name.lower() not in (b"host", b"accept-encoding")
        ]
        sent = httpx.Request(
            request.method, url, headers=headers, content=request.read(), extensions=request.extensions
        )
        sent.headers["Accept-Encoding"] = "gzip"
        self._client.cookies.set_cookie_header(sent)
        with closing(self._client.send(sent, stream=True)) as compressed:
            body = _decompress(compressed, deadline)
        kept = [(name, value) for name, value in compressed.headers.raw if _is_kept(name.lower(), value)]
        response = httpx.Response(compressed.status_code, headers=kept, content=body, request=request)
        return response, compressed.next_request.url if compressed.next_request else None

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def may_follow(url: "httpx.URL", target: "httpx.URL", method: str = "GET") -> bool:
    """Return True if a redirect stays on the same host, scheme and port, or goes from http to https. Forms are never resent."""
    if method != "GET" or url.host != target.host or target.userinfo:
        return False
    if url.scheme == target.scheme:
        return url.port == target.port
    return (url.scheme, target.scheme) == ("http", "https")


def find_proxy(url: "httpx.URL") -> str | None:
    """Return the proxy that the environment names for a URL (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY).

    There is none for this machine.
    """
    from urllib.request import getproxies, proxy_bypass

    if is_own_host(url.host) or proxy_bypass(url.netloc.decode("ascii")):
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _open_transport(url: "httpx.URL") -> "httpx.HTTPTransport":
    import httpx

    proxy = find_proxy(url)
    if proxy is None:
        return httpx.HTTPTransport()
    variable = f"{url.scheme.upper()}_PROXY or ALL_PROXY"
    try:
        return httpx.HTTPTransport(proxy=proxy)
    except ImportError as error:
        raise InputError(
            f"{variable} names a SOCKS proxy, which needs one more package: pip install socksio (or set NO_PROXY={url.host})"
        ) from error
    except (ValueError, httpx.InvalidURL) as error:  # whose message may hold a password
        raise InputError(f"{variable} is not the URL of a proxy, such as http://proxy.example.org:3128") from error


def _is_kept(name: bytes, value: bytes) -> bool:
    """Return True for headers of the compressed response that hold for the decompressed one. httpx accepts only ASCII."""
    return name not in (*_COMPRESSION_HEADERS, _SECRET) and name.isascii() and value.isascii()


def _decompress(response: "httpx.Response", deadline: float) -> bytes:
    """Return the body of a response. httpx would decompress a whole chunk at once, without a limit."""
    import httpx

    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise httpx.DecodingError(f"the answer is compressed with {encoding[:40]!r}; only gzip was requested")
    gzip = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    body = bytearray()
    try:
        for chunk in response.iter_raw():
            body += gzip.decompress(chunk, LARGEST_REPLY + 1 - len(body)) if gzip else chunk
            if len(body) > LARGEST_REPLY:
                raise httpx.DecodingError(f"the answer has more than {LARGEST_REPLY:,} bytes")
            if monotonic() > deadline:
                raise httpx.ReadTimeout("the answer does not end")
    except zlib.error as error:
        raise httpx.DecodingError(f"the answer is damaged: {error}") from error
    if gzip and body and not gzip.eof:
        raise httpx.DecodingError("the answer is cut short")
    return bytes(body)
