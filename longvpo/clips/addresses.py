"""A stranger's address, fetched to a file.

The rule: only http and https, and only hosts of the public internet, unless the source allows others. Bytes and time
never exceed the limits in this file. Every hop of a redirection is checked again. A host's name is looked up once, and
the connection goes to the address that was checked. So a name that leads elsewhere a moment later gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx2

from longvpo.errors import LongVPOError, VideoError, first_line
from longvpo.io.files import whole_file
from longvpo.io.private import cut, cut_within
from longvpo.io.retry import with_retries

TIMEOUT = 60.0  # seconds without a byte
BEGINNING = 120.0  # seconds until the content begins, after all redirections
LONGEST = 6 * 3600.0  # seconds
SLOWEST = 10_000  # bytes per second, over the whole download
LARGEST = 2**35  # bytes
HOPS = 10  # redirections
GONE = (404, 410)
WAIT = 1.0  # seconds after the first failure to reach an address, twice as many after the next
UNPACKED = ("", "identity", "gzip", "deflate")  # how content may be sent: others may unpack a thousandfold at once

# where machines of Azure and of Oracle reach their host
HOSTS_OF_CLOUDS = [ipaddress.ip_network(network) for network in ("168.63.129.16/32", "192.0.0.0/24")]
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address in the last 32 bits
UNICAST = ipaddress.ip_network("2000::/3")  # all that was ever given out of IPv6
OWN_NAMES = ("localhost", ".localhost", ".local", ".internal")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def fetch_url(address: str, path: Path, private: bool = False) -> None:
    """A file at an http or https address. Raises VideoError when it cannot be had in a few tries.

    What an error says names no user, password or query of the address, nor one that it was sent on to.

    Args:
        private: whether the host may be this machine, or one of its network.
    """

    def fetch() -> None:
        transport, headers = _Transport(private), {"Accept-Encoding": "identity"}
        with (
            httpx2.Client(
                transport=transport, follow_redirects=True, max_redirects=HOPS, timeout=TIMEOUT, headers=headers
            ) as client,
            _beginning_in_time(cut(address)) as (trace, begun),
            client.stream("GET", address, extensions={"trace": trace}) as answer,
        ):
            begun()
            if answer.status_code in GONE:
                raise VideoError(f"no such video: {cut(address)}")
            if not answer.is_success:
                why = f"{answer.status_code} {answer.reason_phrase}".strip()
                raise httpx2.HTTPStatusError(why, request=answer.request, response=answer)
            _keep(answer, path, cut(address))

    try:
        with_retries(fetch, (WAIT, 2 * WAIT))
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:  # UnicodeError: a host's name is not one
        raise VideoError(f"cannot fetch {cut(address)}: {cut_within(first_line(error))}") from error
    except (ImportError, ValueError) as error:  # the fault of a proxy that the environment names
        why = cut_within(first_line(error))
        raise LongVPOError(f"cannot fetch addresses: {why}; check HTTPS_PROXY and ALL_PROXY") from error


def _keep(answer: httpx2.Response, path: Path, told: str) -> None:
    """Write what comes. Raises VideoError where it is too large, or comes too slowly."""
    coding = answer.headers.get("content-encoding", "").strip().lower()
    if coding not in UNPACKED:
        raise VideoError(f"cannot fetch {told}: it is sent as {coding[:20]!r}; a video is sent as it is")
    length = answer.headers.get("content-length", "")
    began, got = time.monotonic(), 0
    with whole_file(path) as file:
        if length.isdecimal() and (len(length) > 12 or int(length) > LARGEST):
            raise _too_large(told)
        for part in answer.iter_bytes():
            got += len(part)
            if got > LARGEST:
                raise _too_large(told)
            took = time.monotonic() - began
            if took > min(LONGEST, TIMEOUT + got / SLOWEST):
                raise VideoError(f"cannot fetch {told}: it comes too slowly: {got / 1e6:.1f} MB in {took:.0f} s")
            file.write(part)


def _too_large(told: str) -> VideoError:
    return VideoError(f"cannot fetch {told}: it has more than {LARGEST / 2**30:.0f} GiB")


class _Transport(httpx2.BaseTransport):
    """Sends each request, one of a redirection too, to a host that was looked at, or by the environment's proxy.

    Args:
        private: whether any host will do.
    """

    def __init__(self, private: bool) -> None:
        self.private = private
        self._by_proxy: dict[str | None, httpx2.HTTPTransport] = {None: httpx2.HTTPTransport(verify=_certificates())}
        self.proxies = {scheme: _proxy(scheme) for scheme in ("http", "https")}
        for proxy in filter(None, self.proxies.values()):
            self._by_proxy.setdefault(proxy, httpx2.HTTPTransport(verify=_certificates(), proxy=proxy))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if url.scheme not in ("http", "https") or not url.host:
            raise VideoError(f"cannot fetch {cut(str(url))}: only http:// and https:// addresses are fetched")
        proxy = None if proxy_bypass(url.host) else self.proxies[url.scheme]
        sending = self._by_proxy[proxy]
        if proxy:
            self._check_named(url.host)
        if proxy or self.private:
            return sending.handle_request(request)
        *others, last = _looked_up(url.host, url.port or (443 if url.scheme == "https" else 80))
        for address in others:
            with suppress(httpx2.ConnectError, httpx2.ConnectTimeout):  # IPv6, where there is none
                return sending.handle_request(_sent_to(address, request))
        return sending.handle_request(_sent_to(last, request))

    def _check_named(self, host: str) -> None:
        """A proxy looks names up itself: what can be told of an address here is whether it says a host of its own."""
        if self.private:
            return
        with suppress(OSError):  # a name, and no number
            found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
            _check([str(one[4][0]) for one in found], host)
        if host.lower().rstrip(".").endswith(OWN_NAMES):
            raise _not_public(host)

    def close(self) -> None:
        for transport in self._by_proxy.values():
            transport.close()


@cache
def _certificates() -> ssl.SSLContext:
    """Those that are trusted, read once."""
    return httpx2.create_ssl_context()


def _proxy(scheme: str) -> str | None:
    """The proxy that the environment names."""
    named = getproxies()
    found = named.get(scheme) or named.get("all")
    return found if not found or "://" in found else f"http://{found}"


def _looked_up(host: str, port: int) -> list[str]:
    """A host's addresses in numbers. Raises VideoError where one of them is not of the public internet."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpx2.ConnectError(str(error)) from error
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    _check(addresses, host)
    return addresses


def _check(addresses: list[str], host: str) -> None:
    if not addresses or not all(map(is_public, addresses)):
        raise _not_public(host)


def _not_public(host: str) -> VideoError:
    return VideoError(
        f"cannot fetch what {host} has: it is not of the public internet; where it is meant, set the source's "
        "private_addresses: true"
    )


def is_public(address: str) -> bool:
    """Whether an address in numbers is of the public internet, in whatever other address it is wrapped."""
    found: Address | None = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        within = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in NAT64 or int(found) >> 32 == 0:  # also the old form of one that is mapped, ::127.0.0.1
            within = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if within is not None:
            return is_public(str(within))
        if found not in UNICAST:
            return False
    assert found is not None
    return found.is_global and not found.is_multicast and not any(found in one for one in HOSTS_OF_CLOUDS)


def _sent_to(address: str, request: httpx2.Request) -> httpx2.Request:
    """The same request, to an address in numbers: its `Host` and the name that a certificate must have stay."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions=request.extensions | {"sni_hostname": request.url.raw_host.decode("ascii")},
    )


@contextmanager
def _beginning_in_time(told: str) -> Iterator[tuple[Any, Any]]:
    """Ends connections over which no content has begun in time: each byte of a header could take a minute.

    Gives what follows a request and finds its connections, and what is called when the content has begun.
    """
    connected: list[socket.socket] = []
    late = threading.Event()

    def trace(event: str, about: dict[str, Any]) -> None:
        if event.endswith("connect_tcp.complete"):
            connected.append(about["return_value"].get_extra_info("socket").dup())

    def end() -> None:
        late.set()
        for one in connected:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(BEGINNING, end)
    timer.daemon = True
    timer.start()
    try:
        yield trace, timer.cancel
    except httpx2.HTTPError as error:
        if late.is_set():
            raise VideoError(f"cannot fetch {told}: nothing of it came in {BEGINNING:.0f} s") from error
        raise
    finally:
        timer.cancel()
        for one in connected:
            one.close()
