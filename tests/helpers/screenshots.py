"""First screens of pages, on a phone and on a desk, light and dark: what docs/pages.md shows.

python -m tests.helpers.screenshots docs/images/pages NAME=PAGE.html ...
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS, HEIGHT = (400, 1400), 900
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """The one of this system; none is fetched.

    Raises:
        LookupError: there is none.
    """
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if program is None:
        raise LookupError("no browser is installed")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])


@contextmanager
def open_page(
    browser: Browser, file: Path, width: int, scheme: Literal["light", "dark"] = "light", scale: float = 1
) -> Iterator[Page]:
    """A page from disk on a screen so many pixels wide."""
    screen = {"width": width, "height": HEIGHT}
    with browser.new_page(viewport=screen, color_scheme=scheme, device_scale_factor=scale) as page:  # pyright: ignore[reportArgumentType]
        page.goto(file.absolute().as_uri())
        yield page


def main(folder: Path, pages: dict[str, Path]) -> None:
    """Write NAME_WIDTH_SCHEME.jpg of each page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open_browser() as browser:
        for name, file in pages.items():
            for width in WIDTHS:
                for scheme in SCHEMES:
                    # As wide as the column of a documentation page.
                    with open_page(browser, file, width, scheme, scale=min(1.0, 900 / width)) as page:
                        path = folder / f"{name}_{width}_{scheme}.jpg"
                        page.screenshot(path=path, type="jpeg", quality=70)
                        print(f"{path} {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), {name: Path(file) for name, _, file in (page.partition("=") for page in sys.argv[2:])})
