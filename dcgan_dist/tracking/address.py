"""Addresses of servers and stores as they may be shown; no library is needed for that."""

import re

SECRET_NAME = re.compile(r"(?i)(password|passwd|secret|token|api_?key|access_?key|credential|flask_?key|signature)")
USER_INFO = re.compile(r"(?<=:)//(?:[^/\s]*|[^/\s:\[]+:[^\d/\s]\S*)@")  # a password may hold a slash
QUERY = re.compile(r"([?&;])([^=&;\s]+)=[^&;\s]*")


def without_password(text: str) -> str:
    """A URI, or a text with URIs, as it may be shown and logged: without user names, passwords, keys and tokens."""
    return QUERY.sub(
        lambda match: f"{match[1]}{match[2]}=..." if SECRET_NAME.search(match[2]) else match[0],
        USER_INFO.sub("//", text),
    )


def holds_secret(place: str) -> bool:
    """Whether a place is a URI with a user name, a password, a key or a token; a path may hold any character."""
    return "://" in place and without_password(place) != place


def sqlite_uri(path: object) -> str:
    """URI of a database file; what has a meaning of its own in URIs is quoted."""
    return "sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F")
