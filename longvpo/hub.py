"""Talk to the Hub as somebody who publishes."""

from __future__ import annotations

from longvpo.errors import LongVPOError, first_line


def check_push(repo_id: str) -> str:
    """The full id under which the user may publish.

    Args:
        repo_id: `namespace/name`, or a name in the user's own namespace.

    Raises:
        LongVPOError: not logged in, a token that may only read, or a namespace that is not the user's.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        me = HfApi().whoami()
    except LocalTokenNotFoundError:
        raise LongVPOError("you are not logged in to the Hub: run `hf auth login`, or set HF_TOKEN") from None
    except Exception as error:  # of huggingface_hub and its HTTP client: no common base
        said = first_line(error).rstrip(".")
        if getattr(getattr(error, "response", None), "status_code", None) == 401:
            raise LongVPOError(f"the Hub does not know you: {said}. Run `hf auth login` again") from None
        raise LongVPOError(f"the Hub cannot be asked who you are: {said}. Try again later") from None
    namespace, _, name = repo_id.rpartition("/")
    namespace = namespace or me["name"]
    try:
        validate_repo_id(f"{namespace}/{name}")
    except ValueError as error:
        raise LongVPOError(f"--repo-id {repo_id}: {first_line(error)}") from None
    allowed = [me["name"], *(organisation["name"] for organisation in me.get("orgs", []))]
    if namespace not in allowed:
        raise LongVPOError(f"{namespace} is not yours: publish as one of {', '.join(allowed)}, with --repo-id")
    if me.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise LongVPOError("your Hub token may only read: make one that may write, and run `hf auth login`")
    return f"{namespace}/{name}"
