"""Where the token of a cluster is found, and where it is sent."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dcgan_dist.cluster.token import ask, read_token, uses_token
from tests.cluster.conftest import TOKEN
from tests.helpers.listener import listener


def test_ray_looks_for_its_token_where_we_do(home: Path, tmp_path: Path) -> None:
    """The environment first, then the file that it names, then the home: as Ray's own loader reads them."""
    from ray._raylet import AuthenticationTokenLoader  # pyright: ignore[reportAttributeAccessIssue]

    other = tmp_path / "other"
    other.write_text("c" * 64)
    loader = AuthenticationTokenLoader.instance()
    before = {name: os.environ.get(name) for name in ("HOME", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")}
    try:
        for variables in (
            {},
            {"RAY_AUTH_TOKEN_PATH": str(other)},
            {"RAY_AUTH_TOKEN_PATH": str(other), "RAY_AUTH_TOKEN": "d" * 64},
        ):
            environment = {"HOME": str(home), "RAY_AUTH_MODE": "token"} | variables
            os.environ.update(environment)
            loader.reset_cache()

            assert loader.get_raw_token(ignore_auth_mode=True) == read_token(environment)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        loader.reset_cache()


@pytest.mark.parametrize("mode", [None, "", "token", "TOKEN", "Token", "disabled"])
@pytest.mark.parametrize("has_token", [True, False])
def test_a_token_is_used_where_ray_uses_one(
    mode: str | None, has_token: bool, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Ray's own functions, for a head or a client that looks for its cluster, and for a client that was told it."""
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    from ray._raylet import AuthenticationTokenLoader, Config  # pyright: ignore[reportAttributeAccessIssue]

    environment = {"HOME": str(home if has_token else tmp_path / "nowhere")}
    monkeypatch.setenv("HOME", environment["HOME"])
    monkeypatch.delenv("RAY_AUTH_MODE")
    if mode is not None:
        environment["RAY_AUTH_MODE"] = mode
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    AuthenticationTokenLoader.instance().reset_cache()
    try:
        assert maybe_enable_token_auth_if_token_available() == uses_token(environment, address_named=False)
    finally:
        monkeypatch.undo()
        AuthenticationTokenLoader.instance().reset_cache()
        Config.initialize("")
    assert uses_token(environment, address_named=True) == ((mode or "").lower() == "token")


@contextmanager
def silent_server(content: bytes) -> Iterator[str]:
    """A port that says something that is no HTTP to whoever connects, once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connected, _ = listening.accept()
            with connected:
                connected.recv(1 << 16)
                connected.sendall(content)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(5)


@pytest.mark.parametrize("content", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"\x00\xff\n\n"])
def test_a_port_that_speaks_no_http_is_no_answer(content: bytes) -> None:
    with silent_server(content) as address:
        answer = ask(address)

    assert answer.status == 0
    assert answer.text


@pytest.mark.parametrize("url", ["http://host:port/", "http://a b/", "http://", "nothing", "http://[::1"])
def test_an_address_that_is_none_is_no_answer(url: str) -> None:
    assert ask(url).status == 0


def test_a_token_goes_to_the_server_that_was_named_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as (thief, stolen), listener(302, elsewhere=f"{thief}/there") as (address, received):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, thief)
        monkeypatch.setenv("no_proxy", "")

        assert ask(f"{address}/here", TOKEN).status == 302

    assert received == [("/here", f"Bearer {TOKEN}")]
    assert stolen == []
