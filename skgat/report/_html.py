"""Elements of a page. Whatever is not an element already is text, and is escaped."""

__all__ = ["Html", "bdi", "element", "join"]

import re
from html import escape

#: What no page may hold, and what would change the direction of the text around it.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_VOID = {"input", "meta", "link"}


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def _markup(child):
    if isinstance(child, Html):
        return child
    return escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(child)), quote=True)


def join(children):
    """Elements and texts, one after the other."""
    return Html("".join(_markup(child) for child in children))


def element(tag, /, *children, **attributes):
    """An element; ``class_`` and ``for_`` stand for the words that Python keeps, ``_`` in a name for a hyphen.

    An attribute that is None or False is left out, one that is True has no value.
    """
    words = []
    for attribute, value in attributes.items():
        if value is None or value is False:
            continue
        key = attribute.rstrip("_").replace("_", "-")
        words.append(f" {key}" if value is True else f' {key}="{_markup(value)}"')
    opening = f"<{tag}{''.join(words)}>"
    return Html(opening if tag in _VOID else f"{opening}{join(children)}</{tag}>")


def bdi(value):
    """An id or a value of the user, which may be written in any direction."""
    return element("bdi", value)
