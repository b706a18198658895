"""How a room is drawn: shell, window, picture, rug, bed and lamp, then the light on all of it."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, ...]
Point = tuple[float, float]
Edge = tuple[float, float, float]
"""A horizontal edge: left, right, and how far down it lies."""
OVERSAMPLING = 4
"""A room is drawn at this multiple of its size and averaged down, which smooths its edges."""
_SKY = {
    "day": ((120, 178, 232), (214, 234, 250)),
    "dusk": ((236, 150, 110), (250, 208, 150)),
    "night": ((24, 30, 66), (52, 58, 104)),
}
"""Upper and lower colour by the hour."""
_FRAME = (244, 240, 232)
"""Colour of window frames and glazing bars."""
_WINDOW_LIGHT = {"day": 0.32, "dusk": 0.25, "night": 0.0}
_AMBIENT_LIGHT = {"day": 0.78, "dusk": 0.72, "night": 0.6}


def draw_room(seed: int, number: int, image_size: int) -> tuple[Image.Image, dict[str, Any]]:
    """Draw one room.

    Returns:
        The RGB image and the truth: boxes (left, top, right, bottom) as fractions of the side, colours as RGB, the
        hour, and which things there are.
    """
    canvas = _Canvas(np.random.default_rng([seed, number]), image_size * OVERSAMPLING)
    _draw_shell(canvas)
    for draw, share in (
        (_draw_window, 0.85),
        (_draw_picture, 0.5),
        (_draw_rug, 0.6),
        (_draw_bed, 1),
        (_draw_lamp, 0.7),
    ):
        if draw is _draw_bed or canvas.chance(share):
            draw(canvas)
    return _light(canvas, canvas.image.resize((image_size, image_size), Image.Resampling.BOX)), canvas.truth


@dataclass(slots=True)
class _Canvas:
    """A picture in progress: coordinates are fractions of the side, and the truth collects what is drawn."""

    rng: np.random.Generator
    side: int
    truth: dict[str, Any] = field(default_factory=dict)
    image: Image.Image = field(init=False)
    draw: ImageDraw.ImageDraw = field(init=False)
    lights: list[tuple[float, float, float, float]] = field(default_factory=list)
    """x, y, reach, strength."""
    back: tuple[float, float, float, float] = field(init=False)
    """Left, top, right, bottom of the back wall."""

    def __post_init__(self) -> None:
        self.image = Image.new("RGB", (self.side, self.side))
        self.draw = ImageDraw.Draw(self.image)
        centre, floor = self.uniform(0.35, 0.65), self.uniform(0.6, 0.7)
        half = self.uniform(0.3, 0.4)
        self.back = (centre - half, self.uniform(0.04, 0.14), centre + half, floor)

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def colour(self, saturation: tuple[float, float], value: tuple[float, float], hue: float | None = None) -> Colour:
        hue = self.uniform(0, 1) if hue is None else hue
        channels = colorsys.hsv_to_rgb(hue % 1.0, self.uniform(*saturation), self.uniform(*value))
        return tuple(round(channel * 255) for channel in channels)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self.draw.polygon([(x * self.side, y * self.side) for x, y in points], fill=colour)

    def trapezoid(self, upper: Edge, lower: Edge, colour: Colour) -> None:
        (left, right, y), (lower_left, lower_right, lower_y) = upper, lower
        self.polygon([(left, y), (right, y), (lower_right, lower_y), (lower_left, lower_y)], colour)

    def box(self, box: Sequence[float], colour: Colour) -> None:
        left, top, right, bottom = (round(edge * self.side) for edge in box)
        self.draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), fill=colour)


def _draw_shell(canvas: _Canvas) -> None:
    """Walls, ceiling and floor in one-point perspective; floorboards run to the vanishing point."""
    left, top, right, bottom = canvas.back
    hue = canvas.uniform(0.0, 1.0) if canvas.chance(0.5) else canvas.uniform(0.06, 0.16)
    wall = canvas.colour((0.08, 0.38), (0.68, 0.92), hue)
    wood = canvas.colour((0.3, 0.6), (0.4, 0.72), canvas.uniform(0.05, 0.1))
    canvas.trapezoid((0, 1, 0), (left, right, top), _shade(wall, 1.12))
    canvas.polygon([(0, 0), (left, top), (left, bottom), (-0.02, 1.25 - bottom * 0.2)], _shade(wall, 0.84))
    canvas.polygon([(1, 0), (right, top), (right, bottom), (1.02, 1.25 - bottom * 0.2)], _shade(wall, 0.76))
    canvas.box(canvas.back, wall)
    near = bottom + (1 - bottom) * 1.02
    canvas.polygon([(0, 1), (left, bottom), (right, bottom), (1, 1), (1, near), (0, near)], wood)
    for plank in range(-6, 18):
        far = left + (right - left) * plank / 12
        if left <= far <= right:
            close = 0.5 + (far - (left + right) / 2) / (right - left)
            ends = [(far * canvas.side, bottom * canvas.side), (close * canvas.side, canvas.side)]
            canvas.draw.line(ends, fill=_shade(wood, 0.86), width=max(1, canvas.side // 128))
    canvas.box((left, bottom - 0.02, right, bottom), _shade(wall, 1.15))
    canvas.truth |= {"wall": wall, "floor": wood}
    canvas.truth |= {"floor_box": [0.0, bottom, 1.0, 1.0], "back_wall_box": list(canvas.back)}


def _draw_window(canvas: _Canvas) -> None:
    """Frame, sky by the hour, a hill, glazing bars, and curtains."""
    left, top, right, bottom = canvas.back
    width, height = canvas.uniform(0.18, 0.32), canvas.uniform(0.2, 0.3)
    x = canvas.uniform(left + 0.05, right - width - 0.05)
    y = canvas.uniform(top + 0.05, max(top + 0.06, bottom - height - 0.24))
    x_end, y_end = x + width, y + height
    hour = ("day", "dusk", "night")[int(canvas.rng.choice(3, p=[0.65, 0.2, 0.15]))]
    upper, lower = _SKY[hour]
    canvas.box((x - 0.015, y - 0.015, x_end + 0.015, y_end + 0.02), _FRAME)
    for line in range(32):
        share = line / 32
        canvas.box((x, y + height * share, x_end, y + height * (share + 0.04)), _mix(upper, lower, share))
    hill = _mix((70, 120, 70), upper, 0.15 if hour == "day" else 0.6)
    crest = [(x + width * i / 8, y + height * (0.78 + 0.1 * np.sin(i * 0.9 + canvas.side + 7 * x))) for i in range(9)]
    canvas.polygon([(x, y_end), *crest, (x_end, y_end)], hill)
    bar = 0.008
    canvas.box((x + width / 2 - bar, y, x + width / 2 + bar, y_end), _FRAME)
    canvas.box((x, y + height * 0.45 - bar, x_end, y + height * 0.45 + bar), _FRAME)
    canvas.box((x - 0.03, y_end + 0.01, x_end + 0.03, y_end + 0.03), (228, 222, 210))
    if curtains := canvas.chance(0.6):
        cloth, step = canvas.colour((0.25, 0.65), (0.6, 0.95)), width * 0.07
        for fold in range(4):
            shaded = _shade(cloth, (1.0, 0.86)[fold % 2])
            start, end = x - 0.03 + fold * step, x_end + 0.03 - fold * step
            canvas.box((start, y - 0.03, x - 0.03 + (fold + 1) * step, y_end + 0.06), shaded)
            canvas.box((end - step, y - 0.03, end, y_end + 0.06), shaded)
        canvas.box((x - 0.05, y - 0.04, x_end + 0.05, y - 0.028), _shade(cloth, 0.5))
    canvas.lights.append((x + width / 2, y_end, 0.55, _WINDOW_LIGHT[hour]))
    canvas.truth |= {"window_box": [x, y, x_end, y_end], "hour": hour, "curtains": curtains}


def _draw_picture(canvas: _Canvas) -> None:
    """A framed picture on the back wall, where the window leaves room."""
    left, top, right, _ = canvas.back
    width, height = canvas.uniform(0.09, 0.15), canvas.uniform(0.08, 0.14)
    y = canvas.uniform(top + 0.06, top + 0.14)
    window = canvas.truth.get("window_box")
    gaps = [(left, right)] if window is None else [(left, window[0] - 0.05), (window[2] + 0.05, right)]
    start, stop = max(gaps, key=lambda gap: gap[1] - gap[0])
    if stop - start < width + 0.06:
        return
    x = canvas.uniform(start + 0.03, stop - width - 0.03)
    canvas.truth["picture_box"] = [x, y, x + width, y + height]
    canvas.box(canvas.truth["picture_box"], canvas.colour((0.2, 0.6), (0.2, 0.5), 0.08))
    inner_left, inner_right, inner_bottom = x + 0.012, x + width - 0.012, y + height - 0.012
    canvas.box((inner_left, y + 0.012, inner_right, inner_bottom), canvas.colour((0.2, 0.7), (0.6, 0.95)))
    canvas.box((inner_left, y + height * 0.6, inner_right, inner_bottom), canvas.colour((0.3, 0.7), (0.3, 0.7)))


def _draw_rug(canvas: _Canvas) -> None:
    """An oval rug on the floor."""
    bottom = canvas.back[3]
    x, y, wide = canvas.uniform(0.25, 0.75), canvas.uniform(bottom + 0.2, 0.93), canvas.uniform(0.25, 0.42)
    rug = canvas.colour((0.25, 0.6), (0.55, 0.9))
    for share, shade in ((1.0, 0.75), (0.86, 1.0), (0.55, 0.88)):
        half, high = wide * share, wide * share * 0.26
        edges = [edge * canvas.side for edge in (x - half, y - high, x + half, y + high)]
        canvas.draw.ellipse(edges, fill=_shade(rug, shade))
    canvas.truth["rug_box"] = [x - wide, y - wide * 0.26, x + wide, y + wide * 0.26]


def _draw_bed(canvas: _Canvas) -> None:
    """Headboard against the back wall, mattress and blanket coming forward, one or two pillows."""
    left, _, right, bottom = canvas.back
    width = canvas.uniform(0.32, 0.48)
    x = canvas.uniform(max(0.05, left - 0.04), min(0.95, right + 0.04) - width)
    grow, head = canvas.uniform(1.2, 1.45), canvas.uniform(0.12, 0.2)
    lean = (0.5 - (x + width / 2)) * -0.5
    top, front, depth = bottom - 0.06, min(0.93, bottom + canvas.uniform(0.16, 0.24)), canvas.uniform(0.07, 0.1)
    wood = canvas.colour((0.25, 0.6), (0.28, 0.62), canvas.uniform(0.04, 0.1))
    blanket, linen = canvas.colour((0.25, 0.75), (0.45, 0.92)), canvas.colour((0.0, 0.08), (0.9, 0.99))
    centre, near = x + width / 2 + lean, width * grow / 2
    shadow = (
        (x - 0.02, x + width + 0.02, bottom + 0.03),
        (centre - near - 0.04, centre + near + 0.04, front + depth + 0.03),
    )
    canvas.trapezoid(*shadow, _shade(canvas.truth["floor"], 0.62))
    canvas.box((x - 0.01, top - head, x + width + 0.01, bottom + 0.02), wood)
    canvas.box((x + 0.01, top - head + 0.02, x + width - 0.01, top), _shade(wood, 1.18))
    canvas.trapezoid((x, x + width, top), (centre - near, centre + near, front), linen)
    fold = canvas.uniform(0.28, 0.42)
    edge = top + (front - top) * fold
    half = width / 2 + (near - width / 2) * fold
    middle = x + width / 2 + lean * fold
    hem = (middle - half, middle + half)
    canvas.trapezoid((*hem, edge), (centre - near, centre + near, front), blanket)
    canvas.trapezoid((*hem, edge), (*hem, edge + 0.02), _shade(blanket, 1.2))
    canvas.box((centre - near, front, centre + near, front + depth), _shade(blanket, 0.72))
    pillows = int(canvas.rng.integers(1, 3))
    wide = width * (0.42 if pillows == 2 else 0.6)
    for pillow in range(pillows):
        start = x + width / 2 - wide * pillows / 2 + wide * pillow
        for lowest, colour in ((top + 0.035, _shade(linen, 0.94)), (top + 0.035 - 0.025, linen)):
            edges = [edge * canvas.side for edge in (start + 0.008, top - 0.035, start + wide - 0.008, lowest)]
            canvas.draw.rounded_rectangle(edges, canvas.side * 0.02, fill=colour)
    bed_box = [min(x, centre - near), top - head, max(x + width, centre + near), front + depth]
    canvas.truth |= {"bed_box": bed_box, "blanket": blanket, "pillows": pillows}


def _draw_lamp(canvas: _Canvas) -> None:
    """A bedside table with a lamp, on the side of the bed that has more room."""
    bed, table = canvas.truth["bed_box"], canvas.back[3]
    x = bed[0] - 0.06 if bed[0] > 1 - bed[2] else bed[2] + 0.06
    x = min(max(x, 0.08), 0.92)
    wood = canvas.colour((0.3, 0.6), (0.3, 0.6), 0.07)
    cloth = canvas.colour((0.1, 0.5), (0.85, 1.0), canvas.uniform(0.03, 0.16))
    canvas.box((x - 0.055, table, x + 0.055, table + 0.13), _shade(wood, 0.85))
    canvas.box((x - 0.065, table - 0.015, x + 0.065, table + 0.012), _shade(wood, 1.2))
    high = canvas.uniform(0.15, 0.2)
    canvas.box((x - 0.008, table - high * 0.6, x + 0.008, table - 0.012), _shade(wood, 0.5))
    shade_top, shade_bottom = table - high, table - high * 0.45
    lit = canvas.chance(0.75)
    canvas.trapezoid(
        (x - 0.03, x + 0.03, shade_top), (x - 0.06, x + 0.06, shade_bottom), _shade(cloth, 1.15 if lit else 0.75)
    )
    if lit:
        canvas.lights.append((x, shade_bottom, 0.24, 0.4))
    canvas.truth |= {"lamp_box": [x - 0.06, shade_top, x + 0.06, table], "lamp_lit": lit}


def _light(canvas: _Canvas, image: Image.Image) -> Image.Image:
    """Multiply the picture by its light: dim ambient by the hour, a pool around each source, darker corners."""
    y, x = (np.mgrid[0 : image.height, 0 : image.width] + 0.5) / image.width
    light = np.full((image.height, image.width, 3), _AMBIENT_LIGHT[canvas.truth.get("hour", "dusk")])
    for at_x, at_y, reach, strength in canvas.lights:
        pool = strength * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * reach**2))
        warmth = (1.0, 0.85, 0.6) if reach < 0.4 else (1.0, 0.97, 0.9)
        light += pool[:, :, None] * np.array(warmth)
    light *= 1 - 0.35 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)[:, :, None]
    return Image.fromarray(np.clip(np.asarray(image) * light, 0, 255).astype(np.uint8))


def _shade(colour: Colour, factor: float) -> Colour:
    return tuple(min(255, round(channel * factor)) for channel in colour)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
