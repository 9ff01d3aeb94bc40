"""When a request is tried again, and for how long: one answer for all servers that longvpo talks to."""

from __future__ import annotations

import http.client
import math
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx2
from huggingface_hub import get_token, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils._http import default_client_factory, hf_raise_for_status

from longvpo.errors import LongVPOError, first_line, hide

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each new try of a request to the Hub
LONGEST_ASKED = 300.0  # seconds; a Hub that asks for more by Retry-After is not asked again
SAYS_LATER = (408, 425, 429)

Result = TypeVar("Result")


def with_retries(
    call: Callable[[], Result],
    waits: tuple[float, ...] = WAITS,
    passes: Callable[[BaseException], float | None] | None = None,
) -> Result:
    """What the call returns, tried again after failures that may pass; the last one is raised.

    The Hub's client tries some requests again by itself. It never does so for requests that create a repository, a
    commit or a tag, or that look something up. A call that must not be repeated blindly, as its reply may have been
    lost, looks first.

    Args:
        waits: seconds before each new try.
        passes: may_pass, or what takes its place.
    """
    for wait in waits:
        try:
            return call()
        except Exception as error:  # errors of huggingface_hub and its HTTP client have no common base
            asked = (passes or may_pass)(error)
            if asked is None or asked > LONGEST_ASKED:
                raise
            # the spread keeps those that were turned away together from coming back together
            time.sleep(max(wait * random.uniform(0.5, 1.0), asked))
    return call()


def may_pass(error: BaseException) -> float | None:
    """Seconds that a failed request asks to wait, 0 where it says nothing; None: the same request would fail again."""
    error = _cause(error)
    if isinstance(error, OfflineModeIsEnabled):
        return None
    if isinstance(error, LocalEntryNotFoundError):
        return 0.0
    if isinstance(error, HfHubHTTPError | httpx2.HTTPStatusError):
        status = error.response.status_code
        if status in SAYS_LATER or status >= 500:
            return asked_wait(error.response.headers.get("retry-after")) or 0.0
        return None
    passes = isinstance(error, httpx2.HTTPError | ConnectionError | TimeoutError) and status_of(error) is None
    return 0.0 if passes else None


def fail_on_long_rests() -> None:
    """Have the Hub's client fail where it is asked to wait long: it would sleep so long, up to five times."""
    set_client_factory(_client)


def _client() -> httpx2.Client:
    client = default_client_factory()
    hooks = client.event_hooks
    client.event_hooks = {**hooks, "response": [*hooks.get("response", []), _refuse_long_rest]}
    return client


def _refuse_long_rest(response: httpx2.Response) -> None:
    if response.status_code >= 400 and (asked_wait(response.headers.get("retry-after")) or 0.0) > LONGEST_ASKED:
        response.read()
        hf_raise_for_status(response)


def asked_wait(header: str | None) -> float | None:
    """Seconds that a Retry-After asks for: it holds a number of them, or a date."""
    if header is None:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max((date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def reason(error: BaseException) -> str:
    """What the Hub's client says of a failure in one line, without the token: the status, and the Hub's own words."""
    error = _cause(error)
    status, told = status_of(error), str(getattr(error, "server_message", None) or "")
    if isinstance(error, HfHubHTTPError) and status and told:
        said = f"{status} {http.client.responses.get(status, '')}: {_joined(told)}"
    elif str(error).startswith("Invalid metadata in README.md"):
        said = _joined(str(error)).replace(".; - ", ": ").replace("; - ", "; ")
    else:
        said = first_line(error)
    return hide(said, get_token()).rstrip(".")


def advice(error: BaseException) -> str:
    """What can help after a failure at the Hub; to run the same command again is said only where it can."""
    error = _cause(error)
    status, wait = status_of(error), may_pass(error)
    if wait is not None and wait > LONGEST_ASKED:
        return f"The Hub asks for {math.ceil(wait / 60)} minutes of rest: run the same command again after them"
    if str(error).startswith("Invalid metadata in README.md"):
        return "Mend what the recipe or the folder says there; the same command by itself cannot help"
    if isinstance(error, OfflineModeIsEnabled):
        return "Take HF_HUB_OFFLINE from the environment, and run the same command again"
    if status in (None, 409, 412, 423) or wait is not None:
        own = isinstance(error, OSError | LongVPOError) and wait is None and status is None  # an error of this machine
        return f"{'When that is mended, run' if own else 'Run'} the same command again: it resumes from there"
    if status == 401:
        return "Run `hf auth login` with a token that is valid, then the same command again"
    if status == 402 or re.search("storage|quota|billing|payment", reason(error), re.IGNORECASE):
        return "Make room, or get more of it, in the Hub's settings; --public repositories have more than private ones"
    if status == 403:
        return "Give the token, and you in the organisation, the right to do that, or give another --repo-id"
    if status == 404:
        return "See whether the repository was renamed or deleted, and whether your token may see it"
    return "The same command would fail again: mend what the Hub names"


def status_of(error: BaseException) -> int | None:
    """The HTTP status of a failure; the client of the Hub's Xet storage tells it only in the text of its errors."""
    response = getattr(error, "response", None)
    if response is not None:
        return int(response.status_code)
    found = re.search(r"\((4\d\d) [A-Z]", str(error)) if isinstance(error, ConnectionError) else None
    return int(found[1]) if found else None


def _cause(error: BaseException) -> BaseException:
    """What is behind the client's word for a file that could not be asked for."""
    behind = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else None
    return behind or error


def _joined(text: str, most: int = 600) -> str:
    """Lines as one, without those that say the same in other letters: headers carry only ASCII."""
    lines: list[str] = []
    for line in dict.fromkeys(part.strip() for part in text.splitlines() if part.strip()):
        ascii_of = line.encode("ascii", "replace").decode()
        lines = [one for one in lines if one != ascii_of] + [line]
    said = "; ".join(lines)
    return said if len(said) <= most else f"{said[:most]}..."
