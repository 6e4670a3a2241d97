"""Directives that run what a page shows and show what came of it, so that no output on a page is pasted.

``run`` is Python. The blocks of a page share their names, and a folder of their own that is empty at first; the last
expression of a block is shown as a notebook shows it. ``shell`` is a line or more of ``$ skgat ...`` in the same
folder. A block that fails, warns, or does not fail where ``:raises:`` says that it does, fails the build.
"""

import contextlib
import shlex
import subprocess
import sys
import traceback
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from page_code import Page, run_block
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

__all__ = ["Run", "Shell", "setup"]

#: The colours of the site's two themes; figures are drawn once for each.
STYLES = {
    "light": {"figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white"},
    "dark": {"figure.facecolor": "#14181e", "axes.facecolor": "#14181e", "savefig.facecolor": "#14181e"},
}
_SECONDS = 120
_FILES = "_generated"


_pages = {}


def _page(docname):
    if docname not in _pages:
        _pages[docname] = Page()
    return _pages[docname]


def _close(docname):
    page = _pages.pop(docname, None)
    if page is not None:
        page.close()


def _text(text):
    node = nodes.literal_block(text, text, classes=["skgat-output"])
    node["language"] = "none"
    return node


def _shown(value):
    """The nodes that show a value: its HTML if it has any, else its text."""
    if value is None:
        return []
    rich = getattr(value, "_repr_html_", None)
    rich = rich() if rich is not None else None
    if rich is None:
        return [_text(repr(value))]
    table = f'<div class="skgat-output skgat-rich">{rich}</div>'
    return [nodes.raw("", table, format="html")]


class Run(SphinxDirective):
    """Run Python and show the code, what it prints, its last value and its figure."""

    has_content = True
    option_spec = {  # noqa: RUF012 - docutils' own form
        "hide-code": directives.flag,
        "hide-output": directives.flag,
        "raises": directives.unchanged,
        "figure": directives.unchanged_required,
        "caption": directives.unchanged,
    }

    def run(self):
        code = "\n".join(self.content)
        page = _page(self.env.docname)
        shown = [] if "hide-code" in self.options else [self._code(code)]
        with contextlib.chdir(page.folder):
            if "figure" in self.options:
                return shown + self._figure(code, page)
            printed, value = self._run(code, page)
        if "hide-output" not in self.options:
            shown += [_text(printed.rstrip("\n"))] if printed.strip() else []
            shown += _shown(value)
        return shown

    def _code(self, code):
        node = nodes.literal_block(code, code)
        node["language"] = "python"
        return node

    def _run(self, code, page):
        expected = self.options.get("raises")
        try:
            printed, value = run_block(code, page.names)
        except Exception as error:
            if expected == type(error).__name__:
                return f"{expected}: {error}", None
            raise self._failed(traceback.format_exc()) from error
        if expected:
            raise self._failed(f"It did not raise {expected}.")
        return printed, value

    def _failed(self, why):
        return ExtensionError(f"{self.env.docname}, line {self.lineno}: the block does not run.\n{why}")

    def _figure(self, code, page):
        """Draw for both themes; what the block defines is that of the second time."""
        import matplotlib as mpl

        mpl.use("agg")
        page.figures += 1
        stem = f"{self.env.docname.replace('/', '-')}-{page.figures}"
        return [self._drawn(code, page, f"{stem}-{theme}.svg", theme) for theme in STYLES]

    def _drawn(self, code, page, name, theme):
        import matplotlib.pyplot as plt

        base = ["default", "dark_background"] if theme == "dark" else ["default"]
        settings = {"svg.hashsalt": "skgat", "font.size": 11, **STYLES[theme]}
        with plt.style.context([*base, settings]):
            self._run(code, page)
            if not plt.get_fignums():
                raise self._failed("It draws nothing.")
            folder = Path(self.env.srcdir) / _FILES
            folder.mkdir(exist_ok=True)
            plt.gcf().savefig(folder / name, metadata={"Date": None}, bbox_inches="tight")
            plt.close("all")
        # From the root of the pages, wherever this one lies.
        image = nodes.image(uri=f"/{_FILES}/{name}", alt=self.options["figure"], classes=[f"only-{theme}"])
        figure = nodes.figure("", image, classes=[f"only-{theme}"])
        if "caption" in self.options:
            caption, _ = self.parse_inline(self.options["caption"])
            figure += nodes.caption("", "", *caption)
        return figure


class Shell(SphinxDirective):
    """Run ``$ skgat ...`` lines and show what they print."""

    has_content = True
    option_spec = {"status": directives.nonnegative_int}  # noqa: RUF012

    def run(self):
        folder = _page(self.env.docname).folder
        text = "\n".join(line for command in self._commands() for line in self._answered(command, folder))
        node = nodes.literal_block(text, text)
        node["language"] = "console"
        return [node]

    def _commands(self):
        """Each command as the lines it stands on; a backslash at the end goes on."""
        lines = []
        for line in self.content:
            if line.startswith("$ "):
                lines.append([line])
            else:
                lines[-1].append(line)
        return lines

    def _answered(self, lines, folder):
        words = shlex.split(" ".join(line.removesuffix("\\") for line in lines).removeprefix("$ "))
        if words[0] != "skgat":
            raise ExtensionError(f"{self.env.docname}, line {self.lineno}: got {words[0]!r}, but expected skgat.")
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        if done.returncode != self.options.get("status", 0):
            raise ExtensionError(f"{self.env.docname}, line {self.lineno}: {shlex.join(words)}\n{done.stderr}")
        return [*lines, *(done.stdout + done.stderr).rstrip("\n").splitlines()]


def _start(app, docname, source):
    _close(docname)


def _finish(app, doctree):
    _close(app.env.docname)


def setup(app):
    """Register the directives with Sphinx."""
    app.add_directive("run", Run)
    app.add_directive("shell", Shell)
    app.connect("source-read", _start)
    app.connect("doctree-read", _finish)
    # The blocks of a page run in the process that reads it, and torch does not like to be forked.
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
