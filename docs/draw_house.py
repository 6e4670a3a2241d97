"""Draw the rooms of the package and the imports between them, from the code itself.

    python docs/draw_house.py

writes docs/images/house.svg. The floors are those that tests/test_architecture.py holds; a test fails when the picture
is not that of the code.
"""

import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "house.svg"

__all__ = ["PICTURE", "arrows", "draw", "main"]

_WIDTH, _HEIGHT, _GAP, _FLOOR, _LEFT = 126, 34, 14, 92, 76
#: So many rooms of one floor stand side by side.
_ACROSS = 7
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1d2733; }
  .floor { fill: #f3f5f8; }
  .floor + text { fill: #5b6775; font-size: 12px; }
  .room { fill: #ffffff; stroke: #0072b2; stroke-width: 1.5; }
  .inner { stroke: #9aa6b2; }
  .inner + text { fill: #4b5765; }
  path { fill: none; stroke: #0072b2; stroke-opacity: 0.28; stroke-width: 1.2; }
  .private { stroke: #6b7785; stroke-opacity: 0.22; }
"""


def arrows(architecture):
    """The imports between rooms.

    Parameters
    ----------
    architecture : module
        tests/test_architecture.py, which reads them from the code.

    Returns
    -------
    list of (str, str)
        The room that imports, and the one that is imported; sorted.
    """
    found = set()
    for path in architecture.FILES:
        room = architecture._room(path)
        found |= {(room, target) for target in architecture._targets(path)}
    return sorted(found)


def _places(floors):
    """The left upper corner of each room, the upper edge and height of each floor, and the height of all."""
    corners, bands, top = {}, [], 10
    for floor in sorted(set(floors.values()), reverse=True):
        rooms = sorted((room for room in floors if floors[room] == floor), key=lambda room: (room[0] == "_", room))
        n_rows = -(-len(rooms) // _ACROSS)
        height = _FLOOR + (n_rows - 1) * (_HEIGHT + 2 * _GAP)
        bands.append((floor, top, height))
        for number, room in enumerate(rooms):
            row, column = divmod(number, _ACROSS)
            in_row = min(_ACROSS, len(rooms) - row * _ACROSS)
            shift = (_ACROSS - in_row) * (_WIDTH + _GAP) / 2
            x = _LEFT + _GAP + shift + column * (_WIDTH + _GAP)
            corners[room] = (x, top + (_FLOOR - _HEIGHT) / 2 + row * (_HEIGHT + 2 * _GAP))
        top += height + 8
    return corners, bands, top


def draw(floors, imports):
    """The picture.

    Parameters
    ----------
    floors : dict of int
        The floor of each room that there is; 0 stands apart.
    imports : list of (str, str)

    Returns
    -------
    str
        SVG; the same for the same house.
    """
    corners, bands, height = _places(floors)
    width = _LEFT + _ACROSS * (_WIDTH + _GAP) + 2 * _GAP
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="The rooms of skgat by floor, with an arrow from each room to those that it imports">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
    ]
    for floor, top, tall in bands:
        label = "apart" if floor == 0 else f"floor {floor}"
        out.append(f'<rect class="floor" x="8" y="{top}" width="{width - 16}" height="{tall}" rx="6"/>')
        out.append(f'<text x="20" y="{top + tall / 2 + 4:g}">{label}</text>')
    for source, target in imports:
        kind = ' class="private"' if target.startswith("_") else ""
        out.append(
            f'<path{kind} d="{_line(corners[source], corners[target])}"><title>{source} imports {target}</title></path>'
        )
    for room, (x, y) in corners.items():
        kind = "room inner" if room.startswith("_") and room != "__init__" else "room"
        out.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="5"/>')
        out.append(f'<text x="{x + _WIDTH / 2:g}" y="{y + 22:g}" text-anchor="middle">{escape(room)}</text>')
    return "\n".join([*out, "</svg>", ""])


def _line(source, target):
    """A curve from the lower edge of one room to the upper edge of another; between neighbours, under both."""
    start = (source[0] + _WIDTH / 2, source[1] + _HEIGHT)
    end = (target[0] + _WIDTH / 2, target[1])
    if target[1] <= source[1]:
        end = (end[0], target[1] + _HEIGHT)
        depth = start[1] + 22
        return f"M{start[0]:g} {start[1]:g} C{start[0]:g} {depth:g} {end[0]:g} {depth:g} {end[0]:g} {end[1]:g}"
    half = (start[1] + end[1]) / 2
    return f"M{start[0]:g} {start[1]:g} C{start[0]:g} {half:g} {end[0]:g} {half:g} {end[0]:g} {end[1]:g}"


def main():
    """Write the picture."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import test_architecture as architecture

    rooms = {architecture._room(path) for path in architecture.FILES}
    floors = {room: floor for room, floor in architecture.FLOORS.items() if room in rooms}
    PICTURE.write_text(draw(floors, arrows(architecture)), encoding="utf-8")


if __name__ == "__main__":
    main()
