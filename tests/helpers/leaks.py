"""Finding secrets in what programs wrote: raw bytes of files, and every row of a database."""

import base64
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


def forms(secrets: Mapping[str, str], user: str) -> dict[str, bytes]:
    """What to look for, by name: the secrets, and each as the header of a request carries it together with a user."""
    plain = {name: secret.encode() for name, secret in secrets.items()}
    headers = {f"{name}, in a header": base64.b64encode(f"{user}:{one}".encode()) for name, one in secrets.items()}
    return plain | headers


def leaks(wanted: Mapping[str, bytes], places: Mapping[str, bytes]) -> list[str]:
    """Which secret is in which place."""
    return [f"{name} in {place}" for place, content in places.items() for name, one in wanted.items() if one in content]


def files(folders: Iterable[Path], but: Iterable[Path] = ()) -> Iterator[tuple[str, bytes]]:
    """Path and content of every regular file below folders; sockets, pipes and what vanishes meanwhile are left out."""
    left_out = set(but)
    for folder in folders:
        for root, _, names in os.walk(folder):
            for path in (Path(root, name) for name in names):
                try:
                    if path not in left_out and stat.S_ISREG(path.lstat().st_mode):
                        yield str(path), path.read_bytes()
                except OSError:
                    continue


def rows(database: str) -> Iterator[tuple[str, bytes]]:
    """Name and whole content of every table of a PostgreSQL that a socket file leads to."""
    import psycopg2

    parts = urlsplit(database)
    where = {"host": parse_qs(parts.query)["host"][0], "user": parts.username, "dbname": parts.path.strip("/")}
    connection = psycopg2.connect(**where)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables")
            for (table,) in cursor.fetchall():
                cursor.execute(f"SELECT t::text FROM {table} AS t")  # quoted by the database itself
                yield f"table {table}", "\n".join(row[0] for row in cursor.fetchall()).encode()
    finally:
        connection.close()
