"""The one exception that a user can mend: its text says what is wrong and what to do."""


class LongVPOError(Exception):
    """A mistake in the user's input. The command line prints it as one `error:` line and exits with 1."""


class VideoError(LongVPOError):
    """A video that cannot be read. In a data set it is data: the clip is dropped and this text is the reason."""


def first_line(error: BaseException) -> str:
    """What a library's error says, in one line: some append a stack trace, some say nothing at all."""
    text = str(error).strip()
    return text.splitlines()[0].strip() if text else type(error).__name__


def hide(text: str, secret: str | None) -> str:
    """The text without a key or a token: some servers repeat it in their errors."""
    return text.replace(secret, "***") if secret else text
