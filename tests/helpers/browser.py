"""A real headless browser, driven through its DevTools protocol over a pipe: no port, no driver, no download."""

import base64
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TIMEOUT = 60.0


class Page:
    """One page of the browser."""

    def __init__(self, write_to: int, read_from: int) -> None:
        self._write_to, self._read_from = write_to, read_from
        self._number, self._session, self._rest = 0, "", b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write_to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
        raise TimeoutError(method)

    def open(self, path: Path) -> None:
        """Load a local file."""
        self.call("Page.navigate", url=path.absolute().as_uri())
        self.wait_for("document.readyState === 'complete' && location.protocol === 'file:'")

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Return when a JavaScript condition holds."""
        deadline = time.monotonic() + TIMEOUT
        while not self.evaluate(condition):
            if time.monotonic() > deadline:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def choose_file(self, selector: str, path: Path) -> None:
        """What a person does with a file field."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one place of the window, move it to another, let go."""
        self._mouse("mouseMoved", start, 0)
        self._mouse("mousePressed", start, 1)
        self._mouse("mouseMoved", ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), 1)
        self._mouse("mouseMoved", end, 1)
        self._mouse("mouseReleased", end, 0)

    def click(self, selector: str) -> None:
        """Press and let go in the middle of an element."""
        x, y = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'nearest'}});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        self.drag((x, y), (x, y))

    def screenshot(self, path: Path, *, width: int, height: int = 900) -> None:
        """What a window of this size shows."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _mouse(self, kind: str, place: tuple[float, float], buttons: int) -> None:
        self.call(
            "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", buttons=buttons, clickCount=1
        )

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._read_from], [], [], TIMEOUT)[0]:
                raise TimeoutError("the browser does not answer; does it show a dialog?")
            chunk = os.read(self._read_from, 1 << 16)
            assert chunk, "the browser closed its pipe"
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextmanager
def open_page(profile: Path, downloads: Path) -> Iterator[Page]:
    """Start a browser with an empty profile and end it; skips the test where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    to_browser, to_page = os.pipe(), os.pipe()
    arguments = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    arguments += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run", "--window-size=1400,1000"]
    quiet = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, quiet, 1), (os.POSIX_SPAWN_DUP2, quiet, 2)]
    # The browser reads commands from descriptor 3 and writes answers to 4.
    actions += [(os.POSIX_SPAWN_DUP2, to_browser[0], 3), (os.POSIX_SPAWN_DUP2, to_page[1], 4)]
    process = os.posix_spawn(program, arguments, dict(os.environ), file_actions=actions, setpgroup=0)
    for descriptor in (to_browser[0], to_page[1], quiet):
        os.close(descriptor)
    try:
        page = Page(to_browser[1], to_page[0])
        page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        yield page
    finally:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        for descriptor in (to_browser[1], to_page[0]):
            os.close(descriptor)
