"""Addresses of tracking servers as they may be shown; no library is needed for that."""

import re


def without_password(text: str) -> str:
    """A URI, or a text with URIs, as it may be shown and logged: without user names and passwords."""
    return re.sub(r"//[^/\s]*@", "//", text)
