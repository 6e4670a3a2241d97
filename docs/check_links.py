"""Check that every link of the built pages to another page, file or anchor has something at its end.

    python docs/check_links.py docs/_build/html

Links to elsewhere are not followed.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["broken_links", "main"]

#: Attributes that hold links.
_LINKS = {"href", "src"}


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.anchors = set(), set()

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in _LINKS:
                self.links.add(value)
            elif name == "srcset":
                self.links.update(part.split()[0] for part in value.split(",") if part.strip())


def broken_links(root):
    """The links that lead nowhere.

    Parameters
    ----------
    root : path
        The folder of the built pages.

    Returns
    -------
    n_links : int
        How many were looked at.
    broken : list of str
        What is wrong, one sentence a link.
    """
    root = Path(root).resolve()
    pages = {}
    # A theme may leave templates of its own among its files.
    for path in sorted(set(root.rglob("*.html")) - set(root.glob("_static/**/*"))):
        pages[path] = page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    n_links, broken = 0, []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            n_links += 1
            why = _why_broken(path, parts, pages, root)
            if why:
                broken.append(f"{path.relative_to(root)}: {link!r} {why}")
    return n_links, broken


def _why_broken(path, parts, pages, root):
    target = path
    if parts.path:
        start = root if parts.path.startswith("/") else path.parent
        target = (start / unquote(parts.path).lstrip("/")).resolve()
    if target.is_dir():
        target = target / "index.html"
    if not target.is_file():
        return "leads to no file"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return "leads to no anchor"
    return None


def main(argv):
    """Print what is broken; the exit status is 1 if anything is."""
    n_links, broken = broken_links(argv[1])
    print(*broken, f"{n_links} local links, {len(broken)} broken", sep="\n")
    return 1 if broken or not n_links else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
