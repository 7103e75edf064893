"""HTML that is escaped by construction: text becomes markup only through these functions."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd

_VOID = frozenset({"img", "meta", "source"})


class Markup(str):
    """Text that is HTML already; any other text is escaped where it is put in."""

    __slots__ = ()


class Column(NamedTuple):
    """How a column of a frame is shown."""

    name: str
    header: str
    text: Callable[[Any], str] = str
    is_number: bool = False
    wraps: bool = True

    @property
    def style(self) -> str | None:
        """Class of its cells."""
        return "number" if self.is_number else None if self.wraps else "unbroken"


def element(name: str, /, *children: str, **attributes: str | None) -> Markup:
    """One element; children that are not Markup are escaped.

    A trailing underscore is dropped from attribute names (`class_`), the others become hyphens;
    attributes that are None are left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Sequence[str]) -> Markup:
    """Parts one after the other."""
    return Markup("".join(p if isinstance(p, Markup) else html.escape(p) for p in parts))


def data_table(frame: pd.DataFrame, columns: Sequence[Column], *, label: str) -> Markup:
    """A frame as a table in a `scroll_box`."""
    aligned = [column.style for column in columns]
    head = element(
        "tr",
        *(
            element("th", column.header, scope="col", class_=align)
            for column, align in zip(columns, aligned, strict=True)
        ),
    )
    cells = [
        [element("td", column.text(value), class_=align) for value in frame[column.name]]
        for column, align in zip(columns, aligned, strict=True)
    ]
    rows = [element("tr", *row) for row in zip(*cells, strict=True)]
    table = element("table", element("thead", head), element("tbody", *rows))
    return scroll_box(table, label=label)


def folded(content: Markup, *, summary: str) -> Markup:
    """What is shown on demand; on paper its summary stands for it."""
    return element("details", element("summary", summary), content)


def scroll_box(content: Markup, *, label: str) -> Markup:
    """A box that scrolls on a screen, also by keyboard, and is whole on paper."""
    return element("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)


def fact_table(facts: Sequence[tuple[str, str]], *, label: str) -> Markup:
    """Names and what they are, as rows."""
    rows = [
        element("tr", element("th", name, scope="row"), element("td", text)) for name, text in facts
    ]
    return element("table", element("tbody", *rows), class_="facts", aria_label=label)


def picture(wide: bytes, narrow: bytes, *, alt: str, caption: str) -> Markup:
    """An SVG image, with a version of its own for the screen of a phone."""
    small = element("source", media="screen and (max-width: 759px)", srcset=_data(narrow))
    image = element("img", src=_data(wide), alt=alt)
    return element("figure", element("picture", small, image), element("figcaption", caption))


def _data(image: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(image).decode('ascii')}"
