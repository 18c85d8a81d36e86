"""Curves as SVG pictures, written by hand so that no plotting library is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, SIDE = 520, 420, 60, 40, 320
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#57606a")
FONT = 'font-family="sans-serif" font-size="12"'
Points = Sequence[tuple[float, float]]


def draw(title: str, x_name: str, y_name: str, lines: Mapping[str, Points], *, diagonal: bool = False) -> str:
    """A picture of curves whose points lie between 0 and 1 on both axes; ``diagonal`` adds what would be perfect."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
    ]
    for tenth in range(0, 11, 2):
        x, y = _place(tenth / 10, tenth / 10)
        parts += [
            f'<path d="M{LEFT} {y:g}h{SIDE}M{x:g} {TOP}v{SIDE}" stroke="#d8dee4" fill="none"/>',
            f'<text x="{x:g}" y="{TOP + SIDE + 16}" text-anchor="middle">{tenth / 10:g}</text>',
            f'<text x="{LEFT - 8}" y="{y + 4:g}" text-anchor="end">{tenth / 10:g}</text>',
        ]
    middle = TOP + SIDE / 2
    parts += [
        f'<text x="{LEFT + SIDE / 2:g}" y="{TOP + SIDE + 38}" text-anchor="middle">{escape(x_name)}</text>',
        f'<text y="18" text-anchor="middle" transform="translate(0 {middle:g}) rotate(-90)">{escape(y_name)}</text>',
    ]
    if diagonal:
        parts.append(f'<path d="{_path([(0, 0), (1, 1)])}" stroke="#8c959f" stroke-dasharray="4" fill="none"/>')
    for number, (name, points) in enumerate(lines.items()):
        colour, y = COLOURS[number % len(COLOURS)], TOP + 14 + 20 * number
        parts += [
            f'<path d="{_path(points)}" stroke="{colour}" stroke-width="2" fill="none"/>',
            f'<text x="{LEFT + SIDE + 14}" y="{y}" fill="{colour}">{escape(name)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _place(x: float, y: float) -> tuple[float, float]:
    return LEFT + SIDE * x, TOP + SIDE * (1 - y)


def _path(points: Points) -> str:
    places = [_place(x, y) for x, y in points]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
