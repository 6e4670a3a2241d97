"""The licences of all that skgat brings along, from the metadata of what is installed: ``python tools/licences.py``.

Writes docs/licences.md; with ``--check`` it compares only, and fails when the page is out of date.
"""

import argparse
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "licences.md"
_CORE = "core"

_HEAD = """\
# Licences of the dependencies

Made by `python tools/licences.py` from the metadata of the packages that are installed, direct and transitive; a test
fails when it is out of date. *Comes with* says which part of skgat asks for a package: `core` is what `pip install`
brings, the others are extras. `test` is for developers alone. skgat itself is under the BSD 3-Clause License and ships
no code of others. On Linux, the default build of PyTorch brings NVIDIA's libraries for GPUs too, which are under
NVIDIA's own terms; the builds for the CPU, of which this page is made, do not.

| package | licence | comes with |
|---|---|---|
"""


def declared():
    """The requirements of each part, as pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    own = {f"{project['name']}[{extra}]": requirements for extra, requirements in extras.items()}
    spelled_out = {extra: [part for text in texts for part in own.get(text, [text])] for extra, texts in extras.items()}
    return {_CORE: project["dependencies"], **spelled_out}


def reach(requirements):
    """The names of all packages that requirements bring along, as far as they are installed."""
    found, pending = set(), [(Requirement(text), "") for text in requirements]
    while pending:
        requirement, extra = pending.pop()
        name = _canonical(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for wanted in {"", *requirement.extras}:
            if (name, wanted) in found:
                continue
            try:
                further = distribution(name).requires or []
            except PackageNotFoundError:
                continue
            found.add((name, wanted))
            pending += [(Requirement(text), wanted) for text in further]
    return {name for name, _ in found}


def _canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(name):
    """What a package says of its licence, None if it says nothing."""
    found = distribution(name)
    expression = found.metadata.get("License-Expression")
    if expression:
        return expression
    classifiers = [text.split(" :: ")[2:] for text in found.metadata.get_all("Classifier", []) if "License" in text]
    told = sorted(parts[0] for parts in classifiers if parts)
    if told:
        return ", ".join(told)
    short = (found.metadata.get("License") or "").strip()
    if short and "\n" not in short:
        return short
    for file in found.files or []:
        if re.search(r"\.dist-info/(licenses/)?(LICEN[CS]E|COPYING)[^/]*$", str(file)):
            text = file.locate().read_text(encoding="utf-8", errors="replace")
            return next((line.strip() for line in text.splitlines() if line.strip()), None)
    return None


def rows():
    """Package, licence and the parts that it comes with, for all that is installed."""
    parts = {part: reach(requirements) for part, requirements in declared().items()}
    names = sorted(set().union(*parts.values()))
    return {name: (licence(name), ", ".join(part for part in parts if name in parts[part])) for name in names}


def written():
    """The rows of the page as it is."""
    lines = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {name: (told, parts) for name, told, parts in cells if name != "package"}


def stale():
    """What is installed and not on the page as it is; what is not installed here may bring along more."""
    page = written()
    return {name: row for name, row in rows().items() if name not in page or not _agree(row, page[name])}


def _agree(row, told):
    return row[0] == told[0] and set(row[1].split(", ")) <= set(told[1].split(", "))


def main(argv=None):
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    if parser.parse_args(argv).check:
        outdated = stale()
        if outdated:
            sys.exit(f"docs/licences.md is out of date for {', '.join(outdated)}: run python tools/licences.py")
        return
    table = rows()
    silent = [name for name, (told, _) in table.items() if told is None]
    if silent:
        sys.exit(f"The metadata of {', '.join(silent)} say nothing of a licence.")
    lines = [f"| {name} | {told} | {parts} |\n" for name, (told, parts) in table.items()]
    PAGE.write_text(_HEAD + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
