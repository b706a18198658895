"""Errors that a user can mend, and how they are worded. Nothing here imports anything of ours."""

import difflib
import re

LONGEST = 4000
"""Characters of a message."""


class InputError(ValueError):
    """What a user can mend: the message says what is wrong, where, and the remedy.

    Settings are named in backticks, as the fields of the config or the options: `data.batch_size`, or with a value
    `protocol=small`. Jobs are named as "the job `prepare_folder`". The command line shows both as a user types them, so
    no message names a flag, and a message may travel as a plain string. What it quotes is made printable, and cut.
    """

    def __init__(self, message: str) -> None:
        message = printable(message)
        super().__init__(message if len(message) <= LONGEST else f"{message[: LONGEST - 500]} ... {message[-490:]}")

    def renamed(self, **fields: str) -> "InputError":
        """The same error where a caller has other names for fields: `renamed(out="rewrite")`."""
        message = str(self)
        for field, name in fields.items():
            message = re.sub(rf"`{re.escape(field)}(?=[`=])", f"`{name}", message)
        return InputError(message)


def printable(text: str) -> str:
    """Text in which control characters, and others that no terminal should be sent, are escaped; lines stay lines."""
    return re.sub(r"[^\n -~]", lambda c: c[0] if c[0].isprintable() else c[0].encode("unicode_escape").decode(), text)


def require(condition: bool, message: str) -> None:
    """Raise InputError with the message unless the condition holds."""
    if not condition:
        raise InputError(message)


def nearest(name: str, known: list[str]) -> str:
    """`: did you mean 'x'?`, or the known names where none is near."""
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]!r}?" if close else f": known are {', '.join(known)}"
