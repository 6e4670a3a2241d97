"""What the pages say is so: their code runs, their links lead somewhere, and every public name has its page."""

import doctest
import inspect
import re
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
import test_architecture as architecture

import skgat

DOCS = Path(skgat.__file__).parent.parent / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not {"_build", "_generated", "auto_examples"} & {*path.parts})

#: Blocks that are shown and not run: what installs things, or takes a whole checkout, or several machines.
NOT_RUN = {("start/install.md", "console"), ("project/contributing.md", "console"), ("scale.md", "python")}


@pytest.fixture(autouse=True)
def _docs_on_path(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS), str(DOCS / "_ext"), *sys.path])


def _named(name):
    """An attribute of the package by its dotted name."""
    value = skgat
    for part in name.split(".")[1:]:
        value = getattr(value, part)
    return value


def _public():
    """The full names of all that the package says is public, but for modules and the version; one name a thing."""
    names, seen = [], set()
    for name in skgat.__all__:
        value = getattr(skgat, name)
        inside = [f"{name}.{part}" for part in value.__all__] if inspect.ismodule(value) else [name]
        names += [f"skgat.{part}" for part in inside if part != "__version__"]
    for name in list(names):
        value = _named(name)
        if id(value) in seen:
            names.remove(name)
        seen.add(id(value))
    return names


def _documented():
    """The full names that the API pages list, in the order of the pages."""
    found = []
    for path in sorted((DOCS / "api").glob("*.rst")):
        text = path.read_text(encoding="utf-8")
        module = re.search(r"^\.\. currentmodule:: (\S+)$", text, re.MULTILINE)[1]
        for block in re.findall(r"^\.\. autosummary::\n(?:   :.*\n)+\n((?:   \S+\n?)+)", text, re.MULTILINE):
            found += [f"{module}.{name}" for name in block.split()]
    return found


def test_every_public_name_is_on_one_api_page():
    listed = Counter(id(_named(name)) for name in _documented())
    assert not [name for name in _documented() if listed[id(_named(name))] > 1], "listed twice"
    missing = [name for name in _public() if id(_named(name)) not in listed]
    assert not missing, f"put these on a page of docs/api: {missing}"


def test_api_pages_list_public_names_only():
    public = {id(_named(name)) for name in _public()}
    assert not [name for name in _documented() if id(_named(name)) not in public]


def test_every_api_page_is_in_the_index():
    index = (DOCS / "api" / "index.md").read_text(encoding="utf-8").split("```{toctree}")[1]
    assert {path.stem for path in (DOCS / "api").glob("*.rst")} <= set(index.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_blocks_of_code_are_run(page):
    name, text = page.relative_to(DOCS).as_posix(), page.read_text(encoding="utf-8")
    for language in re.findall(r"^`{3,}([a-z]+)", text, re.MULTILINE):
        assert (name, language) in NOT_RUN or (language == "pycon" and ">>> " in text), f"{language} on {name}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```pycon" in page.read_text(encoding="utf-8")], ids=lambda page: page.stem
)
def test_doctests_of_pages(page):
    found = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0


def test_the_house_is_drawn_from_the_imports():
    draw_house = import_module("draw_house")
    rooms = {architecture._room(path) for path in architecture.FILES}
    floors = {room: floor for room, floor in architecture.FLOORS.items() if room in rooms}
    imports = draw_house.arrows(architecture)
    assert ("recommend", "_candidates") in imports
    expected = draw_house.draw(floors, imports)
    assert all(f">{room}</text>" in expected for room in rooms)
    assert draw_house.PICTURE.read_text(encoding="utf-8") == expected, "run: python docs/draw_house.py"


def test_the_house_shows_a_new_import():
    draw_house = import_module("draw_house")
    floors = {"cli": 2, "records": 1, "_frames": 1}
    bare = draw_house.draw(floors, [])
    assert draw_house.draw(floors, [("cli", "records")]) != bare
    assert "cli imports records" in draw_house.draw(floors, [("cli", "records")])


def test_broken_links_are_found(tmp_path):
    check_links = import_module("check_links")
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top"></h1><a href="sub/page.html#here">x</a><a href="#top">x</a><a href="https://example.org/x">x</a>'
        '<a href="gone.html">x</a><a href="sub/page.html#gone">x</a><img src="sub/gone.png"><a href="sub/">x</a>'
    )
    (tmp_path / "sub" / "page.html").write_text('<p id="here"></p><a href="../index.html#top">x</a>')
    n_links, broken = check_links.broken_links(tmp_path)
    assert n_links == 7
    assert broken == [
        "index.html: 'gone.html' leads to no file",
        "index.html: 'sub/' leads to no file",
        "index.html: 'sub/gone.png' leads to no file",
        "index.html: 'sub/page.html#gone' leads to no anchor",
    ]
    assert check_links.main(["", str(tmp_path)]) == 1


def test_sound_links_pass_and_no_links_do_not(tmp_path, capsys):
    check_links = import_module("check_links")
    assert check_links.main(["", str(tmp_path)]) == 1
    (tmp_path / "index.html").write_text('<a href="#a%20b">x</a><p id="a b"></p>')
    assert check_links.main(["", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("1 local links, 0 broken\n")


def test_blocks_share_names_and_show_what_they_print():
    page_code = import_module("page_code")
    page = page_code.Page()
    assert page_code.run_block("x = 2\nprint('seen')", page.names) == ("seen\n", None)
    assert page_code.run_block("y = x + 1\nx * y", page.names) == ("", 6)
    page.close()
    assert not page.folder.exists()


@pytest.mark.parametrize("code", ["1 / 0", "import warnings\nwarnings.warn('careful')", "undefined"])
def test_a_block_that_fails_or_warns_is_an_error(code):
    page_code = import_module("page_code")
    with pytest.raises((ZeroDivisionError, UserWarning, NameError)):
        page_code.run_block(code, {})
