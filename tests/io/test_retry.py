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

from longvpo.errors import LongVPOError
from longvpo.io import retry
from longvpo.io.retry import advice, asked_wait, may_pass, reason, with_retries

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

    assert with_retries(call) == "done"
    assert [len(slept), slept[1]] == [3, 9.0]
    assert 0.5 <= slept[0] <= 1
    assert 2 <= slept[2] <= 4
    slept.clear()
    errors[:] = [http_error(404)]
    with pytest.raises(HfHubHTTPError):
        with_retries(call)
    errors[:] = [http_error(429, retry_after="1000")]
    with pytest.raises(HfHubHTTPError):
        with_retries(call)
    assert slept == [], "neither is waited for"
    errors[:] = [http_error(500)] * 50
    with pytest.raises(HfHubHTTPError):
        with_retries(call)
    assert len(errors) == 50 - len(retry.WAITS) - 1


def test_a_failure_does_not_show_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    said = reason(http_error(500))
    assert TOKEN not in said
    assert said == "500 Internal Server Error: not with ***"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (http_error(503), "Run the same command again: it resumes from there"),
        (http_error(412), "Run the same command again: it resumes from there"),
        (httpx2.ConnectError("refused"), "Run the same command again: it resumes from there"),
        (http_error(429, retry_after="7"), "Run the same command again: it resumes from there"),
        (http_error(429, retry_after="3600"), "The Hub asks for 60 minutes of rest: run the same command again after"),
        (http_error(503, retry_after="601"), "The Hub asks for 11 minutes of rest"),
        (OSError(28, "No space left on device"), "When that is mended, run the same command again"),
        (http_error(401), "Run `hf auth login` with a token that is valid"),
        (http_error(403), "Give the token, and you in the organisation, the right"),
        (http_error(404, RepositoryNotFoundError), "See whether the repository was renamed or deleted"),
        (http_error(422), "The same command would fail again: mend what the Hub names"),
        (ConnectionError("HTTP status client error (403 Forbidden) for url"), "Give the token, and you in the"),
        (ValueError("Invalid metadata in README.md.\n- no"), "Mend what the recipe or the folder says there"),
    ],
)
def test_advice_is_to_run_again_only_where_that_can_help(error: Exception, says: str) -> None:
    assert advice(error).startswith(says)


def test_behind_a_file_that_could_not_be_asked_for_is_the_reason() -> None:
    outer = LocalEntryNotFoundError("check your connection")
    outer.__cause__ = http_error(403)
    assert may_pass(outer) is None
    assert reason(outer) == f"403 Forbidden: not with {TOKEN}"


def test_retry_after_is_a_number_or_a_date() -> None:
    assert asked_wait(None) is None
    assert asked_wait("soon") is None
    assert asked_wait("-3") == 0
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (asked_wait(later) or 0) <= 30
