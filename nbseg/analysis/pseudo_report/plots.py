"""Draw small figures as inline SVG; the page's style sheet sets their colors and fonts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 38  # margins around the axes, in SVG units


class Plot:
    """Draws a figure with a linear y axis and a linear or categorical x axis.

    Args:
        x_range: values at the left and the right end of the x axis.
        y_range: values at the lower and the upper end of the y axis.
        x_label: label below the x axis.
        y_label: label above the upper end of the y axis.
        size: width and height of the whole figure in SVG units, which are CSS pixels unless the
            page scales the figure.
        x_ticks: value and label of each tick; None chooses round values.
        y_ticks: value and label of each tick; None chooses round values.
        percent: whether to label the y axis in percent; without effect if ``y_ticks`` is given.
    """

    def __init__(
        self,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        x_label: str,
        y_label: str,
        size: tuple[int, int] = (520, 280),
        x_ticks: Sequence[tuple[float, str]] | None = None,
        y_ticks: Sequence[tuple[float, str]] | None = None,
        percent: bool = False,
    ) -> None:
        self.x_range, self.y_range, self.size = x_range, y_range, size
        self._shapes: list[str] = []
        top = TOP + 14  # leave room for the y label
        self._box = (LEFT, top, size[0] - RIGHT, size[1] - BOTTOM)  # left, top, right, bottom
        left, top, right, bottom = self._box
        for value, text in _ticks(y_range, size[1] // 50, percent) if y_ticks is None else y_ticks:
            y = self._y(value)
            self._shapes.append(f'<path class="grid" d="M{left} {y}H{right}"/>')
            self._text(left - 7, y, text, "end", middle=True)
        for value, text in _ticks(x_range, size[0] // 60) if x_ticks is None else x_ticks:
            self._text(self._x(value), bottom + 15, text)
        self._shapes.append(f'<path class="axis" d="M{left} {bottom}H{right}"/>')
        self._text((left + right) / 2, size[1] - 5, x_label, css="label")
        self._text(4, 13, y_label, "start", css="label")

    def line(self, x: Sequence[float], y: Sequence[float], css: str, dots: bool = False) -> None:
        """Draw a line through points.

        Args:
            x: positions of the points on the x axis.
            y: positions of the points on the y axis.
            css: CSS class of the line and the dots.
            dots: whether to draw a dot at each point; the tooltip of a dot shows its value of y.
        """
        points = [(self._x(a), self._y(b)) for a, b in zip(x, y, strict=True)]
        path = "L".join(f"{a} {b}" for a, b in points)
        self._shapes.append(f'<path class="line {css}" d="M{path}"/>')
        for (a, b), value in zip(points if dots else (), y, strict=False):
            self._shapes.append(
                f'<circle class="dot {css}" cx="{a}" cy="{b}" r="3.5">'
                f"<title>{value:.3f}</title></circle>"
            )

    def bars(
        self,
        starts: Sequence[float],
        width: float,
        heights: Sequence[float],
        css: Sequence[str],
        titles: Sequence[str],
    ) -> None:
        """Draw bars that start at the lower end of the y axis.

        Args:
            starts: left ends of the bars, as values of x.
            width: width of each bar, in units of x.
            heights: upper ends of the bars, as values of y.
            css: CSS class of each bar.
            titles: tooltip of each bar.
        """
        foot = self._y(self.y_range[0])
        for start, height, kind, title in zip(starts, heights, css, titles, strict=True):
            left, right, top = self._x(start), self._x(start + width), self._y(height)
            if foot - top > 0:
                self._shapes.append(
                    f'<rect class="bar {kind}" x="{left}" y="{top}" width="{right - left:.2f}" '
                    f'height="{foot - top:.2f}"><title>{escape(title)}</title></rect>'
                )

    def vertical(self, x: float, text: str, css: str) -> None:
        """Draw a vertical line at a value of x, with a label at the top.

        Args:
            x: position of the line, as a value of x.
            text: label of the line.
            css: CSS class of the line and the label.
        """
        at, (left, top, right, bottom) = self._x(x), self._box
        self._shapes.append(f'<path class="mark {css}" d="M{at} {bottom}V{top}"/>')
        after = at < (left + right) / 2
        self._text(at + (5 if after else -5), top + 9, text, "start" if after else "end", css)

    def horizontal(self, y: float, text: str, css: str) -> None:
        """Draw a horizontal line at a value of y, with a label at the right end.

        Args:
            y: position of the line, as a value of y.
            text: label of the line.
            css: CSS class of the line and the label.
        """
        at, (left, _, right, _) = self._y(y), self._box
        self._shapes.append(f'<path class="mark {css}" d="M{left} {at}H{right}"/>')
        self._text(right, at - 6, text, "end", css)

    def svg(self, name: str) -> Markup:
        """Return the figure as an ``<svg>`` element; ``name`` is its label for screen readers."""
        width, height = self.size
        return Markup(
            f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{escape(name)}">{"".join(self._shapes)}</svg>'
        )

    def _x(self, value: float) -> float:
        left, _, right, _ = self._box
        low, high = self.x_range
        return round(left + (value - low) / (high - low) * (right - left), 2)

    def _y(self, value: float) -> float:
        _, top, _, bottom = self._box
        low, high = self.y_range
        return round(bottom - (value - low) / (high - low) * (bottom - top), 2)

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "middle",
        css: str = "tick",
        middle: bool = False,
    ) -> None:
        shift = ' dy=".32em"' if middle else ""
        self._shapes.append(
            f'<text class="{css}" x="{x:g}" y="{y:g}" text-anchor="{anchor}"{shift}>'
            f"{escape(text)}</text>"
        )


def _ticks(span: tuple[float, float], most: int, percent: bool = False) -> list[tuple[float, str]]:
    """Choose about ``most`` round values inside a range; return them with their labels."""
    values = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(*span)
    inside = [float(v) for v in values if span[0] - 1e-9 <= v <= span[1] + 1e-9]
    return [(v, f"{100 * v:g}%" if percent else f"{np.round(v, 10):g}") for v in inside]
