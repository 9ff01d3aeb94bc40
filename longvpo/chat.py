"""One exchange with a server that speaks the OpenAI chat protocol, tried until it succeeds or is known to fail.

The rule: an error of the server is sorted once, here. It is tried again, or the request is refused, or the run ends
with a sentence that says what to do; none of them shows the key.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import AsyncInferenceClient, get_token, set_async_client_factory
from huggingface_hub.errors import HfHubHTTPError

from longvpo.errors import LongVPOError, first_line, hide
from longvpo.retry import SAYS_LATER, asked_wait
from longvpo.sections import EndpointSection, WriterSection
from longvpo.writer import Request

FIRST_WAIT = 1.0  # seconds before the first retry; it doubles
LONGEST_WAIT = 60.0
LONGEST_ASKED = 900.0  # seconds; a server that asks for more by Retry-After is left alone

WRONG_KEY = (401, 403)
WRONG_PLACE = (404, 405)

Messages = list[dict[str, Any]]


class RefusedError(Exception):
    """The server will not answer this very request."""


class _AgainError(Exception):
    """One try failed, and the next may not."""

    def __init__(self, what: str, asked: float | None = None) -> None:
        super().__init__(what)
        self.asked = asked  # seconds to wait, by the server's word


@dataclass(frozen=True)
class Reply:
    text: str
    whole: bool  # not cut at max_tokens
    prompt_tokens: int | None
    completion_tokens: int | None


class _HeldFormat(dict[str, Any]):
    """A response_format that the client sends as it stands.

    For a url the client would make of `json_schema` a form that only TGI knows, and which the other servers take for
    any JSON. It looks for the type by `get`.
    """

    def get(self, key: str, default: Any = None) -> Any:
        return default


class Chat:
    """A server and one of its models.

    Attributes:
        stop: when it is set, nothing is tried again; every run of an event loop sets its own.
        cost: of all replies so far, in the unit of the prices.
        counted: whether the server reports its tokens.
    """

    def __init__(self, section: WriterSection, endpoint: EndpointSection) -> None:
        self.section, self.endpoint = section, endpoint
        self.key = _key(endpoint)
        self.place = _place(endpoint)
        self.stop = asyncio.Event()
        self.cost = 0.0
        self.counted = True

    def client(self) -> AsyncInferenceClient:
        """A client for one event loop."""
        set_async_client_factory(_session)
        if self.endpoint.url is None:
            return AsyncInferenceClient(provider=cast(Any, self.endpoint.provider), api_key=self.key)
        if self.key is not None:
            return AsyncInferenceClient(base_url=self.endpoint.url, api_key=self.key)
        # without a key the client would send the user's Hub token to any url
        bare = cast(dict[str, str], {"authorization": None})
        return AsyncInferenceClient(base_url=self.endpoint.url, api_key="none", headers=bare)

    def check_cost(self) -> None:
        """Raises LongVPOError when no more may be spent."""
        limit = self.endpoint.max_cost
        if limit is None:
            return
        if not self.counted:
            raise LongVPOError(
                f"{self.place} reports no tokens, so that endpoint.max_cost cannot be kept: set it to null"
            )
        if self.cost >= limit:
            raise LongVPOError(f"stopped at a cost of {self.cost:.4g}: to go on, raise endpoint.max_cost ({limit:g})")

    async def ask(
        self,
        client: AsyncInferenceClient,
        messages: Messages,
        request: Request,
        held: bool = False,
        max_tokens: int | None = None,
    ) -> Reply:
        """The server's reply to a conversation.

        Args:
            request: gives the seed, the temperature and the schema, and says whether there are frames.
            held: hold the answer to the schema.

        Raises:
            RefusedError: this request will never be answered.
            LongVPOError: the server cannot be used, or failed too often.
        """
        video = request.count > 0 and self.endpoint.frames_as == "video_jpeg"
        send = partial(
            client.chat_completion,
            cast(Any, messages),
            model=self.section.model,
            max_tokens=max_tokens or self.section.max_new_tokens,
            temperature=request.temperature,
            seed=request.seed % 2**31,  # llama.cpp reads 32 bits
            response_format=cast(Any, _held(request.schema)) if held and request.schema else None,
            extra_body={"media_io_kwargs": {"video": {"num_frames": -1}}} if video else None,
        )
        wait = FIRST_WAIT
        for tries in range(1, self.endpoint.retries + 2):
            try:
                return self._count(await self._try(send))
            except _AgainError as again:
                asked, what = again.asked, str(again)
            if tries > self.endpoint.retries:
                break
            if asked is not None and asked > LONGEST_ASKED:
                raise LongVPOError(f"{self.place} asks to come back in {asked / 60:.0f} minutes: {what}")
            # the spread keeps those that were turned away together from coming back together
            pause = wait * random.uniform(0.5, 1.0) if asked is None else asked + random.uniform(0, FIRST_WAIT)
            try:
                await asyncio.wait_for(self.stop.wait(), pause)
                break
            except TimeoutError:
                wait = min(2 * wait, LONGEST_WAIT)
        raise LongVPOError(f"{self.place} failed {tries} times: {what}")

    async def _try(self, send: Callable[[], Awaitable[Any]]) -> Reply:
        try:
            async with asyncio.timeout(self.endpoint.timeout):
                return _read(await send())
        except TimeoutError:
            raise _AgainError(f"no answer within {self.endpoint.timeout:g} seconds") from None
        except HfHubHTTPError as error:
            raise self._sort(error.response) from None
        except (httpx2.HTTPError, OSError) as error:
            raise _AgainError(self._clean(first_line(error))) from None
        except ValueError as error:
            if self.endpoint.provider is not None and type(error) is ValueError:  # such as: it has no such model
                raise LongVPOError(f"{self.place} cannot be asked: {self._clean(first_line(error))}") from None
            raise _AgainError("it sent something that is not an answer of the chat protocol") from None

    def _sort(self, response: httpx2.Response) -> Exception:
        """What follows from an HTTP error."""
        status, model = response.status_code, self.section.model
        what = self._clean(f"{status}: {_reason(response)}")
        if status in WRONG_KEY:
            return LongVPOError(f"{self.place} does not let us in ({what}): {_key_advice(self.endpoint)}")
        if status in WRONG_PLACE:
            return LongVPOError(f"{self.place} knows no {model} ({what}): check the model and endpoint.url")
        if status == 402:
            return LongVPOError(f"{self.place} asks for payment ({what})")
        if status == 409 or status in SAYS_LATER or status >= 500:
            return _AgainError(what, asked_wait(response.headers.get("retry-after")))
        return RefusedError(what)

    def _count(self, reply: Reply) -> Reply:
        self.counted = reply.prompt_tokens is not None
        self.cost += (reply.prompt_tokens or 0) * self.endpoint.price_in / 1e6
        self.cost += (reply.completion_tokens or 0) * self.endpoint.price_out / 1e6
        return reply

    def _clean(self, text: str) -> str:
        return hide(text, self.key or get_token())


def _held(schema: dict[str, Any]) -> _HeldFormat:
    return _HeldFormat(type="json_schema", json_schema={"name": "answer", "schema": schema, "strict": True})


def _session() -> httpx2.AsyncClient:
    """As the Hub's own, but for its refusal to reach even localhost under HF_HUB_OFFLINE, and for its limit of 100."""
    return httpx2.AsyncClient(follow_redirects=True, timeout=None, limits=httpx2.Limits())


def _key(endpoint: EndpointSection) -> str | None:
    """The key to send; None for a provider stands for the Hub's token, and for a url for none."""
    if endpoint.api_key_env is not None:
        key = os.environ.get(endpoint.api_key_env)
        if not key:
            raise LongVPOError(f"the environment variable {endpoint.api_key_env} (endpoint.api_key_env) is not set")
        return key
    if endpoint.provider is not None and get_token() is None:
        raise LongVPOError(
            f"provider {endpoint.provider} needs a key: run `hf auth login`, or set endpoint.api_key_env"
        )
    return None


def _key_advice(endpoint: EndpointSection) -> str:
    if endpoint.api_key_env is not None:
        return f"check the key in the environment variable {endpoint.api_key_env}"
    if endpoint.url is not None:
        return "set endpoint.api_key_env to the name of an environment variable that holds a key"
    return "check the Hub's token (`hf auth login`), or set endpoint.api_key_env"


def _place(endpoint: EndpointSection) -> str:
    """The server in an error's words; a url can hold a password or a key."""
    if endpoint.url is None:
        return f"the provider {endpoint.provider}"
    url = urlsplit(endpoint.url)
    if url.scheme not in ("http", "https") or not url.hostname:
        # the client would take it for a model on the Hub, and send frames and token there
        raise LongVPOError("endpoint.url is no address of a server: it must be such as http://localhost:8000/v1")
    return f"the server at {url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def _read(output: Any) -> Reply:
    try:
        choice = output.choices[0]
        said, finish = choice.message.content, choice.finish_reason
    except (AttributeError, LookupError, TypeError):
        raise _AgainError("it sent an answer without a choice") from None
    prompt, completion = (getattr(output.usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    return Reply(said.strip() if isinstance(said, str) else "", finish != "length", prompt, completion)


def _reason(response: httpx2.Response) -> str:
    """What an HTTP error says, in one line."""
    try:
        said = response.json()
    except ValueError:
        said = response.text
    for key in ("error", "message", "detail"):
        said = said.get(key, said) if isinstance(said, dict) else said
    lines = str(said).strip().splitlines()
    return lines[0][:300] if lines else response.reason_phrase
