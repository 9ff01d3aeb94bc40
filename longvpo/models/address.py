"""Where a server is, and what a request needs to reach it: its address, the key, the proxy.

The rule: a setting that cannot work is an error before anything is sent. The error names the setting in one sentence,
and shows neither the key nor a password in an address.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, unquote_plus, urlsplit
from urllib.request import getproxies

import httpx2
from huggingface_hub import get_token

from longvpo.errors import LongVPOError, first_line, hide, sendable
from longvpo.recipe.sections import EndpointSection

SHORTEST_KEY = 8  # characters
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")


def key_of(endpoint: EndpointSection) -> str | None:
    """The key to send; None for a provider stands for the Hub's token, and for a url for none."""
    if endpoint.api_key_env is not None:
        key = os.environ.get(endpoint.api_key_env)
        if not key:
            raise LongVPOError(f"the environment variable {endpoint.api_key_env} (endpoint.api_key_env) is not set")
        return sendable(key, f"the key in the environment variable {endpoint.api_key_env} (endpoint.api_key_env)")
    if endpoint.provider is None:
        return None
    token = get_token()
    if token is None:
        raise LongVPOError(
            f"provider {endpoint.provider} needs a key: run `hf auth login`, or set endpoint.api_key_env"
        )
    sendable(token, "the Hub's token (HF_TOKEN, or `hf auth login`)")
    return None


def key_advice(endpoint: EndpointSection) -> str:
    if endpoint.api_key_env is not None:
        return f"check the key in the environment variable {endpoint.api_key_env}"
    if endpoint.url is not None:
        return "set endpoint.api_key_env to the name of an environment variable that holds a key"
    return "check the Hub's token (`hf auth login`), or set endpoint.api_key_env"


def server_name(endpoint: EndpointSection) -> str:
    """The server in an error's words; a url can hold a password or a key.

    Raises:
        LongVPOError: the url is not an address that a request can be sent to.
    """
    if endpoint.url is None:
        return f"the provider {endpoint.provider}"
    wrong = "endpoint.url is not the address of a server: it must be such as http://localhost:8000/v1"
    try:
        url = urlsplit(endpoint.url)
        port = url.port
        httpx2.URL(endpoint.url)
    except ValueError as error:  # urllib's: the port, or brackets without their other half
        port_is_wrong = "port" in str(error).lower()
        raise LongVPOError(f"{wrong}; its port must be a number from 1 to 65535" if port_is_wrong else wrong) from None
    except httpx2.InvalidURL:
        raise LongVPOError(wrong) from None
    if url.scheme not in ("http", "https") or not url.hostname or re.search(r"\s", endpoint.url):
        raise LongVPOError(wrong)
    if port == 0:
        raise LongVPOError(f"{wrong}; its port must be a number from 1 to 65535")
    return f"the server at {url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def chat_url(address: str) -> str:
    """Where a server is asked; `/v1` may be left out of its address."""
    url = urlsplit(address)
    path = url.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path = f"{path.removesuffix('/v1')}/v1/chat/completions"
    return url._replace(path=path).geturl()


def http_client() -> httpx2.AsyncClient:
    """A client for one event loop.

    Raises:
        LongVPOError: the environment names a proxy that cannot be used.
    """
    try:
        for name, proxy in getproxies().items():
            if name in ("all", "http", "https"):
                _ = urlsplit(proxy if "://" in proxy else f"http://{proxy}").port  # too large: a ValueError
        return httpx2.AsyncClient(follow_redirects=True, timeout=None, limits=httpx2.Limits())
    except ImportError:
        raise LongVPOError(
            f"{_proxies()} names a SOCKS proxy, which needs a package: pip install 'httpx2[socks]', or unset it"
        ) from None
    except (ValueError, httpx2.InvalidURL):
        raise LongVPOError(f"{_proxies()} is not the address of a proxy: set or unset it") from None
    except OSError as error:
        found = [f"{name} ({os.environ[name]})" for name in CERTIFICATES if os.environ.get(name)]
        where = f"that {' or '.join(found)} names" if found else "of this machine"
        raise LongVPOError(f"the certificates {where} cannot be read: {first_line(error)}") from None


def _proxies() -> str:
    found = [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    return f"the environment variable {' or '.join(found)}" if found else "the proxy of this machine"


def cleaned(text: str, endpoint: EndpointSection, key: str | None) -> str:
    """A text without the key, the Hub's token, and what a url may hold of both."""
    text = hide(hide(text, key), get_token())
    if endpoint.url is None:
        return text
    for secret in sorted(_secrets(endpoint.url), key=len, reverse=True):
        text = hide(text, secret)
    return text


def _secrets(address: str) -> set[str]:
    """What in an address may be a key: its query, user and password, as they stand and decoded.

    A value or a user of few characters is not a secret: it would be hidden in every second word.
    """
    url = urlsplit(address)
    values = [value or name for name, _, value in (part.partition("=") for part in re.split("[&;]", url.query))]
    short = {form for one in (*values, url.username or "") for form in (one, unquote(one), unquote_plus(one))}
    whole = (url.query, url.netloc.rpartition("@")[0], url.password or "")
    return {one for one in short if len(one) >= SHORTEST_KEY} | {form for one in whole for form in (one, unquote(one))}
