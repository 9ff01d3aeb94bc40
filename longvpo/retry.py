"""When a request is tried again, and for how long: one answer for all servers that longvpo talks to."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx2
from huggingface_hub import get_token
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from longvpo.errors import first_line, hide

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each new try of a request to the Hub
LONGEST_ASKED = 300.0  # seconds; a Hub that asks for more by Retry-After is left alone
SAYS_LATER = (408, 425, 429)

Result = TypeVar("Result")


def again(
    call: Callable[[], Result],
    waits: tuple[float, ...] = WAITS,
    passes: Callable[[BaseException], float | None] | None = None,
) -> Result:
    """What the call returns, tried again after failures that may pass; the last one is raised.

    The Hub's client tries some requests again by itself and others never: those that create a repository, a commit or
    a tag, and those that look. A call that must not be repeated blindly, as its reply may have been lost, looks first.

    Args:
        waits: seconds before each new try.
        passes: may_pass, or what takes its place.
    """
    for wait in waits:
        try:
            return call()
        except Exception as error:  # of huggingface_hub and its HTTP client: no common base
            asked = (passes or may_pass)(error)
            if asked is None or asked > LONGEST_ASKED:
                raise
            # the spread keeps those that were turned away together from coming back together
            time.sleep(max(wait * random.uniform(0.5, 1.0), asked))
    return call()


def may_pass(error: BaseException) -> float | None:
    """Seconds that a failed request asks to wait, 0 where it says nothing; None: the same request would fail again."""
    if isinstance(error, OfflineModeIsEnabled):
        return None
    if isinstance(error, LocalEntryNotFoundError):  # the client's word for a file that could not be asked for
        return 0.0
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status in SAYS_LATER or status >= 500:
            return asked_wait(error.response.headers.get("retry-after")) or 0.0
        return None
    return 0.0 if isinstance(error, httpx2.HTTPError | ConnectionError | TimeoutError) else None


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
    """What the Hub's client says of a failure, in one line and without the user's token."""
    said = first_line(error)
    told = getattr(error, "server_message", None)
    if told and told not in said:
        said = f"{said.rstrip('.')}: {told.splitlines()[0]}"
    return hide(said, get_token()).rstrip(".")
