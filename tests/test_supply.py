"""What skgat brings along and where it reaches out to."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import skgat

ROOT = Path(skgat.__file__).parent.parent
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def licences():
    spec = importlib.util.spec_from_file_location("licences", ROOT / "tools" / "licences.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_licences_is_current(licences):
    assert licences.stale() == {}
    licences.main(["--check"])


def test_an_outdated_page_is_noticed(licences, tmp_path, monkeypatch):
    page = licences.PAGE.read_text(encoding="utf-8")
    changed = tmp_path / "licences.md"
    changed.write_text(re.sub(r"^\| numpy \| [^|]+", "| numpy | none ", page, flags=re.MULTILINE), encoding="utf-8")
    monkeypatch.setattr(licences, "PAGE", changed)
    with pytest.raises(SystemExit, match="out of date for numpy: run python"):
        licences.main(["--check"])
    changed.unlink()
    assert {"torch", "numpy", "joblib"} <= licences.stale().keys()


def test_everything_declared_is_on_the_page(licences):
    page = licences.written()
    for part, requirements in licences.declared().items():
        for text in requirements:
            name = re.split(r"[\[>]", text)[0]
            assert part in page[name][1].split(", "), name
    assert len(page) > 30, "transitive dependencies are there too"


def test_everything_on_the_page_is_pinned(licences):
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    assert licences.written().keys() == pins


def test_no_licence_asks_for_the_source_of_what_uses_it(licences):
    for name, (told, parts) in licences.written().items():
        assert told
        if set(parts.split(", ")) <= {"docs", "test"}:
            continue  # tools of those who work on skgat
        assert "None" not in told
        assert not re.search(r"\b(A|L)?GPL|General Public|Proprietary", told) or "LGPL" in told, f"{name}: {told}"


_OFFLINE = """
    import socket, sys

    def refuse(*_, **__):
        raise AssertionError("the network was asked for")

    class NoSocket(socket.socket):
        def connect(self, *_):
            refuse()
        connect_ex = sendto = bind = connect

    socket.socket = NoSocket
    socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse

    import skgat
    for name in skgat.__all__:
        getattr(skgat, name)
    from sklearn.pipeline import make_pipeline
    zoo = skgat.datasets.load_vision_zoo()
    skgat.datasets.load_digits_zoo()
    gat = skgat.TransferabilityGAT(max_iter=3, n_estimators=1, random_state=0)
    for regressor in (gat, skgat.BiasRegressor(), skgat.presets.scg4trf(max_iter=2)):
        pipeline = make_pipeline(skgat.MetadataEncoder(), regressor).fit(zoo.records)
        pipeline.predict(zoo.records)
    skgat.recommend(pipeline, "pets")
    skgat.persistence.save(pipeline, "it")
    skgat.persistence.load("it").predict(zoo.records)
    for name in ("create_connection", "getaddrinfo"):
        try:
            getattr(socket, name)(("localhost", 9))
        except AssertionError:
            continue
        raise SystemExit("the guard is open")
    print("done")
"""


def test_no_network_at_import_fit_or_predict(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(_OFFLINE)]
    namespace = [shutil.which("unshare") or "", "-r", "-n"]
    if namespace[0] and subprocess.run([*namespace, "true"], capture_output=True).returncode == 0:
        # No network device at all, so that compiled code cannot reach out either.
        command = [*namespace, *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    assert os.listdir(tmp_path) == ["it"]


@pytest.mark.parametrize("name", ["skgat.persistence.save", "joblib.dump", "checkpoint_dir=", "cache_dir="])
def test_the_security_page_speaks_of_what_is_loaded(name):
    assert name in SECURITY
