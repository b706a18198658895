"""The page of the job `demo`, served on the loopback address; the browser needs nothing from elsewhere."""

import base64
import io
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from nicegui import app, run, ui
from PIL import Image
from starlette.middleware.trustedhost import TrustedHostMiddleware

from dcgan_dist.cli.logs import CALM, render_flags
from dcgan_dist.errors import InputError
from dcgan_dist.explore.live_model import LiveModel
from dcgan_dist.quality.pictures import to_uint8

HOST = "127.0.0.1"
COUNTS = [16, 32, 64]
STYLE = """
main img { image-rendering: pixelated; max-width: 100%; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(64px, 1fr)); gap: 4px; }
.samples button { padding: 0; line-height: 0; border: 2px solid transparent; cursor: pointer; }
.samples button:focus-visible, .samples button:hover { border-color: currentColor; }
.samples img { width: 100%; }
"""

_log = logging.getLogger(__name__)


def check_port(port: int) -> None:
    """Raise InputError where the port is taken, or is none."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except (OSError, OverflowError) as error:
        raise InputError(f"`port` {port} cannot be had ({error}): name another") from error


def serve(live: LiveModel, port: int, *, title: str, trained_on: str) -> None:
    """Show the page to every browser of this machine that asks, until Ctrl-C."""
    # A page elsewhere whose host name comes to mean this machine is not answered.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    address = f"http://{HOST}:{port}"
    app.on_startup(lambda: _log.info("%s is shown at %s; Ctrl-C ends it", title, address, extra=CALM))
    ui.run(
        lambda: DemoPage(live, title, trained_on),
        host=HOST,
        port=port,
        title=title,
        dark=None,
        show=False,
        reload=False,
        show_welcome_message=False,
    )


def source_of(picture: Image.Image) -> str:
    """A picture as an address that holds its own PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


class DemoPage:
    """The widgets of one browser tab."""

    def __init__(self, live: LiveModel, title: str, trained_on: str) -> None:
        """Lay out the page, and draw as soon as the browser shows it."""
        self.live = live
        ui.add_css(STYLE)
        with ui.element("main").classes("w-full max-w-5xl mx-auto"):
            ui.label(title).classes("text-2xl break-all")
            ui.label(f"Trained on {trained_on}.")
            with ui.row():
                self.seed = ui.number("Seed", value=0, min=0, precision=0, on_change=self.draw_all)
                self.count = ui.select(COUNTS, label="Images", value=32, on_change=self.draw_samples)
                classes = list(range(live.generator.config.classes))
                self.label = ui.select(classes or [0], label="Class", value=0, on_change=self.draw_all).classes("w-24")
                self.label.set_visibility(bool(classes))
            ui.label("Click a sample to pick it; its number is what jobs/sample.py and jobs/explore.py call it.")
            self.samples = ui.element("div").classes("samples w-full")
            with ui.card().classes("w-full") as self.picked_card:
                self._lay_out_picked()
            with ui.card().classes("w-full"):
                self._lay_out_walk()
            with ui.card().classes("w-full"):
                self._lay_out_equation()
        self.picked_card.set_visibility(False)
        ui.timer(0, self.draw_all, once=True)

    def _lay_out_picked(self) -> None:
        self.picked = ui.label().classes("text-xl")
        self.nearest = self._picture("the picked sample beside its nearest training image")
        self.nearest_text = ui.label()
        self.nearest.set_visibility(self.live.real is not None)
        with ui.row():
            for text, field in (("Walk from it", "start"), ("Walk to it", "end")):
                ui.button(text, on_click=partial(self._put, field, add=False))
            for letter in "ABC":
                ui.button(f"Add to {letter}", on_click=partial(self._put, letter.lower(), add=True))

    def _lay_out_walk(self) -> None:
        ui.label("Walk").classes("text-xl")
        with ui.row().classes("items-center"):
            self.start, self.end = ui.input("From sample", value="0:0"), ui.input("To sample", value="1:0")
            self.kind = ui.select(["linear", "spherical"], label="Interpolation", value="linear").classes("w-32")
            ui.button("Walk", on_click=self.draw_walk)
        self.walk = self._picture("images from one sample to the other")

    def _lay_out_equation(self) -> None:
        ui.label("Arithmetic: mean of A - mean of B + mean of C").classes("text-xl")
        with ui.row().classes("items-center"):
            self.a, self.b, self.c = ui.input("A", value="0:0"), ui.input("B", value="0:1"), ui.input("C", value="0:2")
            for box in (self.a, self.b, self.c):
                box.props("clearable")
            ui.button("Calculate", on_click=self.draw_equation)
        self.equation = self._picture("the samples of A, B and C, and the images around their sum")

    def _picture(self, alt: str) -> ui.element:
        return ui.element("img").props(f'alt="{alt}"')

    def _settings(self) -> dict[str, int]:
        return {"seed": int(self.seed.value or 0), "label": self.label.value}

    async def _compute(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """What a function returns, with the settings above; None, and its message is shown, where it refuses them."""
        try:
            return await run.io_bound(function, *arguments, **self._settings(), **more)
        except InputError as error:
            ui.notify(render_flags(error), type="negative")

    async def draw_all(self) -> None:
        """Everything that follows from seed and class."""
        await self.draw_samples()
        await self.draw_walk()
        await self.draw_equation()

    async def draw_samples(self) -> None:
        """The grid of samples."""
        settings = self._settings()
        images = to_uint8(await self._compute(self.live.samples, self.count.value))
        if settings != self._settings():
            return  # the seed is another one by now, and its samples are on their way
        self.samples.clear()
        with self.samples:
            for number, image in enumerate(images):
                name = f"{settings['seed']}:{number}"
                with ui.element("button").on("click", partial(self.pick, name)):
                    picture = Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy())  # grey ones lose their axis
                    self._picture(f"sample {name}").props["src"] = source_of(picture)

    async def pick(self, name: str) -> None:
        """Show a sample's number, what can be done with it, and its nearest training image."""
        self.picked.set_text(f"Sample {name}")
        self.picked_card.set_visibility(True)
        if self.live.real and (found := await self._compute(self.live.nearest, name)):
            self.nearest.props["src"] = source_of(found[0])
            self.nearest_text.set_text(found[1])

    async def _put(self, field: str, *, add: bool) -> None:
        """Enter the picked sample into a field, after what is there or in its place, and draw what follows."""
        box: ui.input = getattr(self, field)
        name = self.picked.text.removeprefix("Sample ")
        box.set_value(f"{box.value} {name}".strip() if add else name)
        await (self.draw_equation() if add else self.draw_walk())

    async def draw_walk(self) -> None:
        """The images between the two ends."""
        await self._show(self.walk, self.live.walk, self.start.value, self.end.value, kind=self.kind.value)

    async def draw_equation(self) -> None:
        """The images around A - B + C."""
        await self._show(self.equation, self.live.equation, *(box.value for box in (self.a, self.b, self.c)))

    async def _show(
        self, place: ui.element, function: Callable[..., Image.Image], *arguments: Any, **more: Any
    ) -> None:
        if picture := await self._compute(function, *arguments, **more):
            place.props["src"] = source_of(picture)
