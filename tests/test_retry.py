"""Which request to the Hub is tried again, when, and what its failure says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from longvpo import retry
from longvpo.errors import LongVPOError
from longvpo.retry import again, asked_wait, may_pass, reason

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"


def http_error(status: int, kind: type[HfHubHTTPError] = HfHubHTTPError, **headers: str) -> HfHubHTTPError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(status, headers=named, request=httpx2.Request("GET", "http://localhost/api"))
    return kind(f"{status} for {TOKEN}", response=response, server_message=f"not with {TOKEN}")


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (http_error(429, retry_after="7"), 7.0),
        (http_error(429), 0.0),
        (http_error(500), 0.0),
        (http_error(503), 0.0),
        (http_error(408), 0.0),
        (http_error(400), None),
        (http_error(401), None),
        (http_error(403), None),
        (http_error(409), None),
        (http_error(412), None),
        (http_error(404, RepositoryNotFoundError), None),
        (httpx2.ConnectError("refused"), 0.0),
        (httpx2.ReadTimeout("late"), 0.0),
        (ConnectionResetError(), 0.0),
        (LocalEntryNotFoundError("could not be asked for"), 0.0),
        (OfflineModeIsEnabled("offline"), None),
        (LocalTokenNotFoundError("no token"), None),
        (FileNotFoundError("a file of ours"), None),
        (LongVPOError("our own"), None),
    ],
)
def test_what_may_pass(error: Exception, waits: float | None) -> None:
    assert may_pass(error) == waits


def test_a_call_is_tried_again_after_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", slept.append)
    errors = [http_error(503), http_error(429, retry_after="9"), ConnectionResetError()]

    def call() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert again(call) == "done"
    assert [len(slept), slept[1]] == [3, 9.0]
    assert 0.5 <= slept[0] <= 1
    assert 2 <= slept[2] <= 4
    slept.clear()
    errors[:] = [http_error(404)]
    with pytest.raises(HfHubHTTPError):
        again(call)
    errors[:] = [http_error(429, retry_after="1000")]
    with pytest.raises(HfHubHTTPError):
        again(call)
    assert slept == [], "neither is waited for"
    errors[:] = [http_error(500)] * 50
    with pytest.raises(HfHubHTTPError):
        again(call)
    assert len(errors) == 50 - len(retry.WAITS) - 1


def test_a_failure_does_not_show_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    said = reason(http_error(500))
    assert TOKEN not in said
    assert "500 for ***" in said


def test_retry_after_is_a_number_or_a_date() -> None:
    assert asked_wait(None) is None
    assert asked_wait("soon") is None
    assert asked_wait("-3") == 0
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (asked_wait(later) or 0) <= 30
