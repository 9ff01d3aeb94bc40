"""One exchange with a server that speaks the OpenAI chat protocol, tried until it succeeds or is known to fail.

The rule: an error of the server is sorted once, here. It is tried again, or the request is refused, or the run ends
with a sentence that says what to do. No message shows the key.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import httpx2
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.inference._providers import get_provider_helper

from longvpo.errors import LongVPOError, first_line
from longvpo.io.retry import SAYS_LATER, asked_wait
from longvpo.models.address import chat_url, cleaned, key_advice, key_of, server_name
from longvpo.models.parameters import LEAST_TOKENS, WRONG_BODY, Parameters, asks_for_more_tokens
from longvpo.models.replies import BROKEN, Reply, characters, finish_of, read_choice
from longvpo.models.writer import Request
from longvpo.recipe.sections import EndpointSection, WriterSection

FIRST_WAIT = 1.0  # seconds before the first retry; it doubles
LONGEST_WAIT = 60.0
LONGEST_REASON = 300  # characters
LARGEST = 2**25  # bytes of a reply; one of 130,000 tokens with their probabilities has fewer
LONGEST_ASKED = 900.0  # seconds; a server that asks for more by Retry-After is not asked again

WRONG_KEY = (401, 403)
WRONG_PLACE = (404, 405)
WRONG_SERVER = (500, 501)

NO_IMAGES = re.compile(r"support.*\bimage|\bimage.*support", re.IGNORECASE)  # a model's name may hold such a word
NO_ANSWER = "it sent something that is not an answer of the chat protocol"

Messages = list[dict[str, Any]]


class RefusedError(Exception):
    """The server will not answer this very request."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(what)
        self.status = status


class _StatusError(Exception):
    """The server answered with the status of an error."""

    def __init__(self, status: int, said: str, headers: Mapping[str, str]) -> None:
        super().__init__(said)
        self.status, self.headers = status, headers


class _TransientError(Exception):
    """One try failed, and the next may not."""

    def __init__(self, what: str, asked: float | None = None) -> None:
        super().__init__(what)
        self.asked = asked  # seconds to wait, by the server's word


class Chat:
    """A server and one of its models.

    Attributes:
        client, stop: every run of an event loop sets its own; when `stop` is set, nothing is tried again.
        cost: the cost of all replies so far, in the unit of the prices.
        counted: whether the server reports its tokens.
    """

    def __init__(self, section: WriterSection, endpoint: EndpointSection) -> None:
        self.section, self.endpoint = section, endpoint
        self.place = server_name(endpoint)
        self.key = key_of(endpoint)
        self.client: httpx2.AsyncClient
        self.stop = asyncio.Event()
        self.cost = 0.0
        self.counted = True
        self.parameters = Parameters(endpoint, self.place)

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
            raise LongVPOError(f"stopped at a cost of {self.cost:.4g}: to resume, raise endpoint.max_cost ({limit:g})")

    async def ask(
        self, messages: Messages, request: Request, held: bool = False, max_tokens: int | None = None
    ) -> Reply:
        """The server's reply to a conversation.

        Args:
            request: gives the seed, the temperature and the schema, and says whether there are frames.
            held: hold the answer to the schema.

        Raises:
            RefusedError: this request will never be answered.
            LongVPOError: the server cannot be used, or failed too often.
        """
        least = 1
        while True:
            body = self.parameters.body(request, held, max(least, max_tokens or self.section.max_new_tokens))
            try:
                return await self._until_answered(messages, body)
            except RefusedError as refusal:
                if refusal.status not in WRONG_BODY:
                    raise
                if self.parameters.give_way(str(refusal), body):
                    continue
                if least == LEAST_TOKENS or not asks_for_more_tokens(str(refusal), body):
                    raise
                least = LEAST_TOKENS

    async def _send(self, messages: Messages, body: dict[str, Any]) -> Any:
        """What a server answers to a conversation with these parameters, of which those that are None are not sent."""
        model = self.section.model
        said: Any = {"model": model, **{name: value for name, value in body.items() if value is not None}}
        if self.endpoint.url is not None:
            headers = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
            address, sent = chat_url(self.endpoint.url), said | {"messages": messages}
        else:
            try:
                provider = get_provider_helper(cast(Any, self.endpoint.provider), "conversational", model)
                asked = provider.prepare_request(
                    inputs=messages, parameters=said, headers={}, model=model, api_key=self.key
                )
            except ValueError as error:
                if type(error) is ValueError:  # such as: it has no such model
                    raise LongVPOError(f"{self.place} cannot be asked: {self._clean(first_line(error))}") from None
                raise
            address, headers, sent = asked.url, asked.headers, asked.json
        async with self.client.stream("POST", address, headers=headers, json=sent) as response:
            came = bytearray()
            async for part in response.aiter_bytes():
                came += part
                if len(came) > LARGEST:
                    raise _TransientError(f"it sent more than {LARGEST >> 20} MiB")
        if response.is_success:
            return json.loads(came)
        raise _StatusError(response.status_code, _reason(bytes(came)) or response.reason_phrase, response.headers)

    async def _until_answered(self, messages: Messages, body: dict[str, Any]) -> Reply:
        wait = FIRST_WAIT
        for tries in range(1, self.endpoint.retries + 2):
            try:
                return self._count(await self._try(messages, body))
            except _TransientError as failure:
                asked, what = failure.asked, str(failure)
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

    async def _try(self, messages: Messages, body: dict[str, Any]) -> Reply:
        try:
            async with asyncio.timeout(self.endpoint.timeout):
                return self._read(await self._send(messages, body))
        except TimeoutError:
            raise _TransientError(f"no answer within {self.endpoint.timeout:g} seconds") from None
        except _StatusError as error:
            raise self._sort(error.status, self._clean(str(error)), error.headers.get("retry-after")) from None
        except HfHubHTTPError as error:  # while a provider is looked for
            response = error.response
            what = self._clean(_reason(response.content) or response.reason_phrase)
            raise self._sort(response.status_code, what, response.headers.get("retry-after")) from None
        except (httpx2.InvalidURL, UnicodeEncodeError, OverflowError):
            raise LongVPOError(f"{self.place} cannot be asked: check endpoint.url") from None
        except (httpx2.HTTPError, OSError) as error:
            raise _TransientError(self._clean(first_line(error))) from None
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):  # what was sent is wrong
            raise _TransientError(NO_ANSWER) from None

    def _read(self, output: Any) -> Reply:
        """The reply in what the server sent, whose status said that all was well.

        Raises:
            RefusedError, LongVPOError, _TransientError: it holds an error all the same.
        """
        choices = output.get("choices")
        self._check(output, with_choices=bool(choices))
        usage = output.get("usage")
        counted = usage if isinstance(usage, dict) else {}
        tokens = {name: counted.get(name) for name in ("prompt_tokens", "completion_tokens")}
        # NaN counts nothing, and no number of tokens is negative or without bound
        used: Any = {name: count for name, count in tokens.items() if type(count) is int and 0 <= count < 2**40}
        if not isinstance(choices, list) or not choices:
            raise _TransientError("it sent an answer without a choice")
        choice = choices[0]
        self._check(choice)
        if finish_of(choice) in BROKEN:
            raise _TransientError(f"its reply ends with {choice['finish_reason']}")
        if not isinstance(choice.get("message"), dict):
            raise _TransientError("it sent an answer without a choice")
        reply = read_choice(choice, choice["message"], self.section.max_new_tokens)
        return replace(reply, error=self._clean(reply.error), **used)

    def _check(self, body: dict[str, Any], with_choices: bool = False) -> None:
        """Raises what follows from an error in a body."""
        error = body.get("error") or (body if body.get("object") == "error" else None)
        error = error or (None if with_choices else body.get("detail"))
        if not error:
            return
        said = [one for one in (error, body) if isinstance(one, dict)]
        codes = [str(one.get(name)) for one in said for name in ("code", "status", "type")]
        what = self._clean(_said(error))
        status = next((int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)), None)
        if status is not None:
            raise self._sort(status, what)
        if any(code.startswith(("invalid_request", "context_length")) for code in codes):
            raise RefusedError(what, 400)
        raise _TransientError(what)

    def _sort(self, status: int, said: str, retry_after: str | None = None) -> Exception:
        """What follows from an HTTP error."""
        model, what = self.section.model, f"{status}: {said}"
        if status in WRONG_KEY:
            return LongVPOError(f"{self.place} does not let us in ({what}): {key_advice(self.endpoint)}")
        if status in WRONG_PLACE and NO_IMAGES.search(said):
            return RefusedError(what, status)  # a router's word for a model that has no vision side
        if status in WRONG_PLACE:
            return LongVPOError(f"{self.place} knows no {model} ({what}): check the model and endpoint.url")
        if status == 402:
            return LongVPOError(f"{self.place} asks for payment ({what})")
        if status in WRONG_SERVER and "not supported" in said:  # llama.cpp's word for images without a vision side
            return RefusedError(what, status)
        if status == 409 or status in SAYS_LATER or status >= 500:
            return _TransientError(what, asked_wait(retry_after))
        return RefusedError(what, status)

    def _count(self, reply: Reply) -> Reply:
        self.counted = reply.prompt_tokens is not None
        self.cost += (reply.prompt_tokens or 0) * self.endpoint.price_in / 1e6
        self.cost += (reply.completion_tokens or 0) * self.endpoint.price_out / 1e6
        return reply

    def _clean(self, text: str) -> str:
        """One line of what a server or its client said, without a secret."""
        return cleaned(text, self.endpoint, self.key)[:LONGEST_REASON]


def _reason(body: bytes) -> str:
    """What the body of an HTTP error says, in one line."""
    try:
        return _said(json.loads(body))
    except (ValueError, RecursionError):
        return _said(body.decode("utf-8", "replace"))


def _said(error: Any) -> str:
    """The sentence in an error's body, in one line."""
    for key in ("error", "message", "detail"):
        error = error.get(key, error) if isinstance(error, dict) else error
    return " ".join(characters(str(error)).split())
