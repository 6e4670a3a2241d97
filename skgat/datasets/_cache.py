"""Where fetched files lie, and how the ones that are missing or damaged get there."""

__all__ = ["cache_folder", "fetch_files"]

import os
from pathlib import Path

from sklearn.datasets import get_data_home

from ..exceptions import DownloadError
from ._download import download, sha256_of


def cache_folder(data_home=None):
    """The folder of the cache: ``data_home``, else ``$SKGAT_DATA``, else ``skgat`` in scikit-learn's data home.

    Parameters
    ----------
    data_home : path-like, optional

    Returns
    -------
    pathlib.Path
    """
    if data_home is None:
        data_home = os.environ.get("SKGAT_DATA") or None
    if data_home is not None:
        return Path(data_home).expanduser()
    try:
        return Path(get_data_home()) / "skgat"
    except OSError as error:
        raise DownloadError(
            f"The folder for fetched files cannot be made: {error}. Pass data_home= or set SKGAT_DATA to a folder that "
            "can be written to."
        ) from error


def fetch_files(base_url, folder, checksums, *, data_home=None, download_if_missing=True, **options):
    """Make sure that files lie in the cache, whole; nothing is written when they do.

    Parameters
    ----------
    base_url : str
        The files are at ``<base_url>/<name>``.
    folder : str
        Where they lie within the cache.
    checksums : dict of str to str
        The sha256 of each file, by name.
    data_home : path-like, optional
    download_if_missing : bool, default=True
        If False, a missing or damaged file is an error.
    **options
        Passed on to the downloader: ``n_retries``, ``delay``, ``timeout``, ``progress``.

    Returns
    -------
    dict of str to pathlib.Path
    """
    home = cache_folder(data_home) / folder
    paths = {name: home / name for name in checksums}
    for name, path in paths.items():
        problem = _problem(path, checksums[name])
        if not problem:
            continue
        if not download_if_missing:
            raise DownloadError(f"{problem}, and download_if_missing=False. Set it to True, or put the file there.")
        download(f"{base_url}/{name}", path, sha256=checksums[name], **options)
    return paths


def _problem(path, expected):
    if not path.is_file():
        return f"The file {path} is not there"
    got = sha256_of(path)
    if got != expected:
        return f"The file {path} is damaged (its sha256 is {got}, but expected {expected})"
    return ""
