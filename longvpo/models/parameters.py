"""The parameters of a request to a server, under the names that this server takes.

The rule: a server that refuses a parameter by its name is asked under the other name, or without it, from then on. One
line says so. What the recipe sets under endpoint.parameters is sent as it stands.
"""

from __future__ import annotations

import re
from typing import Any

from longvpo.errors import say
from longvpo.models.writer import Request
from longvpo.recipe.sections import EndpointSection

WRONG_BODY = (400, 422)  # where a parameter may be what is refused

LEAST_TOKENS = 16  # that some servers let one ask for
# how servers say that they do not take a parameter, or not this value of it
UNWANTED = re.compile(
    r"unsupported|not support|n't support|not permitted|not allowed|unknown|unrecogni[sz]ed|unexpected|deprecated"
    r"|extra|invalid|minimum|at least|only the default|must be|instead",
    re.IGNORECASE,
)


class Parameters:
    """What a server takes, as far as it is known by now."""

    def __init__(self, endpoint: EndpointSection, place: str) -> None:
        self.endpoint, self.place = endpoint, place
        self._names = {"max_tokens": "max_tokens", "temperature": "temperature", "seed": "seed"}  # "": it takes none

    def body(self, request: Request, held: bool, max_tokens: int) -> dict[str, Any]:
        """The parameters of a request under the names that the server is known to take; what is None is not sent."""
        said: dict[str, Any] = {
            "max_tokens": max_tokens,
            "temperature": request.temperature,
            "seed": request.seed % 2**31,  # llama.cpp reads 32 bits
        }
        body = {self._names[name]: value for name, value in said.items() if self._names[name]}
        if held and request.schema:
            answer = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": answer}
        if request.count > 0 and self.endpoint.frames_as == "video_jpeg":
            # early versions of vLLM leave the times out
            body["media_io_kwargs"] = {"video": {"num_frames": -1, **request.shown.metadata(range(request.count))}}
        return body | self.endpoint.parameters

    def give_way(self, said: str, body: dict[str, Any]) -> bool:
        """Whether the same request has another form now, without the parameter that the server named."""
        if not UNWANTED.search(said):
            return False
        for name, known in list(self._names.items()):
            sent = next((one for one in (name, "max_completion_tokens") if one in body), None)
            if name == "max_tokens":
                other = "max_completion_tokens" if "max_completion_tokens" in said and sent == name else None
            else:
                other = "" if sent == name and re.search(rf"\b{name}\b", said) else None
            if other is None or name in self.endpoint.parameters:
                continue
            if known != other:
                self._names[name] = other
                what = f"asked for as {other}" if other else "left out"
                say(f"note: {self.place} does not take {name}, which is {what} from now on ({said})")
            return True
        return False


def asks_for_more_tokens(said: str, body: dict[str, Any]) -> bool:
    """Whether the limit of tokens was too low for the server."""
    limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if isinstance(body.get(name), int)]
    named = re.search(r"max_(?:completion_|output_|new_)?tokens", said)
    return bool(named and limits) and limits[0] < LEAST_TOKENS
