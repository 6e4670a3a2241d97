"""What is shipped: one version, one place for each setting, the data, and a README whose words are true."""

import configparser
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import skgat
from skgat import cli

ROOT = Path(skgat.__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _pins(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def _requirements():
    extras = PYPROJECT["project"]["optional-dependencies"]
    every = [*PYPROJECT["project"]["dependencies"], *(spec for extra in extras.values() for spec in extra)]
    return {re.split(r"[\[>]", spec)[0]: spec.partition(">=")[2].partition(";")[0] for spec in every}


def _release(version):
    return tuple(int(number) for number in version.split("."))


def test_setup_cfg_has_one_job():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    keys = {f"{section}.{key}" for section in config.sections() for key in config[section]}
    assert keys == {"options.packages", "options.packages.find.include"}
    assert set(PYPROJECT["tool"]["setuptools"]) == {"dynamic", "package-data"}


def test_the_version_is_one():
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "skgat.__version__"}
    assert "version" not in PYPROJECT["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(skgat.__version__)}\]", changelog, re.MULTILINE)


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-floor.txt"])
def test_pins_are_exact_and_allowed(name):
    pins, floors = _pins(name), _requirements()
    assert pins["torch"] == "2.13.0"
    direct = {spec.partition(">=")[0] for spec in PYPROJECT["project"]["dependencies"]}
    assert direct <= pins.keys()
    assert all(_release(pins[package]) >= _release(floors[package]) for package in pins.keys() & floors.keys())


def test_the_floor_is_what_is_declared():
    pins, floors = _pins("constraints-floor.txt"), _requirements()
    pins.pop("torch")
    for package, version in pins.items():
        declared = _release(floors[package])
        assert _release(version)[: len(declared)] == declared, package


def test_every_test_tool_is_pinned():
    assert set(_requirements()) - {"skgat"} <= _pins("constraints.txt").keys()


def test_the_data_is_there():
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["skgat.datasets.data"]
    names = {path.name for pattern in patterns for path in (ROOT / "skgat" / "datasets" / "data").glob(pattern)}
    tables = {f"{zoo}_zoo_{table}.csv" for zoo in ("digits", "vision") for table in ("datasets", "models", "records")}
    assert names == tables | {"digits_zoo_arrays.npz"}


def test_the_console_script_is_the_command_line():
    assert PYPROJECT["project"]["scripts"] == {"skgat": "skgat.cli:main"}
    assert callable(cli.main)


def test_the_readme_example_runs_as_written(capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    assert len([line for line in code.splitlines() if line]) <= 14
    scope = {}
    exec(compile(code, "README.md", "exec"), scope)
    ranking = scope["ranking"]
    assert ranking["rank"].tolist() == [1, 2, 3, 4, 5]
    assert set(ranking["dataset"]) == {"pets"}
    assert ranking["model"].iloc[0] in capsys.readouterr().out


def test_the_readme_commands_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    commands = re.findall(r"^skgat (.*?)(?: +#.*)?$", README, re.MULTILINE)
    names = {"demo", "fit", "recommend", "report", "evaluate"}
    commands = [command.split() for command in commands if command.split()[0] in names]
    assert {command[0] for command in commands} == names
    for command in commands:
        assert cli.build_parser().parse_args(command).command == command[0]


def test_the_examples_of_the_help_are_valid():
    texts = [value for name, value in vars(cli).items() if name.endswith("_EPILOG")]
    examples = [line.strip() for text in texts for line in text.splitlines() if line.startswith("  skgat ")]
    assert len(examples) >= 10
    for example in examples:
        argv = re.split(r" {2,}", example)[0].split()[1:]
        assert cli.build_parser().parse_args(argv).command == argv[0]


def test_make_help_lists_the_targets():
    # Called by another make, it would also say which folder it enters.
    command = ["make", "--no-print-directory", "help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in result.stdout.splitlines()}
    assert listed == {"help", "venv", "demo", "test", "lint", "format", "docs", "images", "nightly", "mutants", "clean"}


def test_ci_calls_the_test_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^make test$", script, re.MULTILINE)
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
