# SPDX-License-Identifier: Apache-2.0
"""Curves as SVG, with logarithmic axes and nothing but Python's standard library.

Colours come from the reader's scheme, light or dark. Each curve has a marker of its own beside its colour, and its
name at its end.
"""

import math
from html import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 44, 52
# Apart from each other for the colour-blind too (after Okabe and Ito), light and dark.
COLOURS = (("#666666", "#a8a8a8"), ("#c4500b", "#e69f00"), ("#0072b2", "#56b4e9"), ("#00795b", "#3fc99a"))
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 14px; font-weight: 600 }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .curve { fill: none; stroke-width: 2 }
%s
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .ground { fill: #0d1117 }
    .grid { stroke: #3d444d }
%s
  }
"""


def style():
    """Colours for both schemes."""

    def rules(which, indent):
        lines = [".c%d { stroke: %s } .m%d, .n%d { fill: %s }" % (n, pair[which], n, n, pair[which])
                 for n, pair in enumerate(COLOURS)]  # fmt: skip
        return "\n".join(indent + line for line in lines)

    return STYLE % (rules(0, "  "), rules(1, "    "))


def decades(low, high):
    """The powers of ten that enclose two positive numbers, at least one apart."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return first, max(last, first + 1)


def short(value):
    """1000000 as 1M."""
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if value >= unit:
            return "%g%s" % (value / unit, name)
    return "%g" % value


def marker(kind, x, y):
    """A small shape: circle, square, triangle or diamond."""
    name = 'class="m%d"' % (kind % len(COLOURS))
    if kind % 4 == 0:
        return '<circle %s cx="%.1f" cy="%.1f" r="3.5"/>' % (name, x, y)
    shapes = (
        ((-3, -3), (3, -3), (3, 3), (-3, 3)),
        ((0, -4), (4, 3), (-4, 3)),
        ((0, -4.5), (4.5, 0), (0, 4.5), (-4.5, 0)),
    )
    corners = " ".join("%.1f,%.1f" % (x + dx, y + dy) for dx, dy in shapes[kind % 4 - 1])
    return '<polygon %s points="%s"/>' % (name, corners)


def spread_out(labels, apart=15):
    """Heights of labels, moved down where they would cover each other: (height, …) sorted by height."""
    placed = []
    for y, rest in sorted(labels):
        y = max(y, placed[-1][0] + apart) if placed else y
        placed.append((y, rest))
    return placed


def chart(title, x_title, y_title, curves):
    """A chart of named curves, each a mapping of x to y. Zero on the x axis stands one step left of the least."""
    xs = sorted({x for points in curves.values() for x in points})
    ys = [y for points in curves.values() for y in points.values() if y > 0]
    has_zero = xs[0] <= 0
    positive = [x for x in xs if x > 0] or [1]
    first_x, last_x = decades(positive[0], positive[-1])
    start = first_x - 0.5 if has_zero else first_x
    first_y, last_y = decades(min(ys), max(ys))
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at_x(value):
        return LEFT + ((math.log10(value) if value > 0 else start) - start) / (last_x - start) * wide

    def at_y(value):
        return TOP + (last_y - math.log10(max(value, 10.0**first_y))) / (last_y - first_y) * high

    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img">' % (WIDTH, HEIGHT)]
    parts += ["<title>%s</title>" % escape(title), "<style>%s</style>" % style()]
    parts.append('<rect class="ground" width="%d" height="%d" fill="#ffffff"/>' % (WIDTH, HEIGHT))
    parts.append('<text class="title" x="%d" y="24">%s</text>' % (LEFT, escape(title)))
    for exponent in range(first_y, last_y + 1):
        y = at_y(10.0**exponent)
        parts.append('<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>' % (LEFT, LEFT + wide, y, y))
        parts.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (LEFT - 8, y + 4, short(10.0**exponent)))
    for value in ([0] if has_zero else []) + [10.0**exponent for exponent in range(first_x, last_x + 1)]:
        x = at_x(value)
        parts.append('<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>' % (x, x, TOP, TOP + high))
        parts.append('<text x="%.1f" y="%d" text-anchor="middle">%s</text>' % (x, TOP + high + 18, short(value)))
    middle = LEFT + wide / 2
    parts.append('<text x="%.1f" y="%d" text-anchor="middle">%s</text>' % (middle, HEIGHT - 12, escape(x_title)))
    turned = 'transform="rotate(-90 16 %.1f)" x="16" y="%.1f"' % (TOP + high / 2, TOP + high / 2)
    parts.append('<text %s text-anchor="middle">%s</text>' % (turned, escape(y_title)))
    labels = []
    for number, (name, points) in enumerate(curves.items()):
        placed = [(at_x(x), at_y(y)) for x, y in sorted(points.items())]
        path = " ".join("%.1f,%.1f" % pair for pair in placed)
        parts.append('<polyline class="curve c%d" points="%s"/>' % (number % len(COLOURS), path))
        parts += [marker(number, x, y) for x, y in placed]
        labels.append((placed[-1][1], (number, name)))
    for y, (number, name) in spread_out(labels):
        x = LEFT + wide + 12
        parts.append('<text class="n%d" x="%d" y="%.1f">%s</text>' % (number % len(COLOURS), x, y + 4, escape(name)))
    return "\n".join(parts + ["</svg>"]) + "\n"
