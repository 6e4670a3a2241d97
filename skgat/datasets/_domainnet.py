"""DomainNet transfer: 10 models on 270 small image classification datasets."""

__all__ = ["fetch_domainnet_transfer"]

import pandas as pd

from ._bunch import make_bunch
from ._cache import fetch_files

_COMMIT = "4f49c629bc8ac1fd605f90972c4c0751437e18c3"
_BASE_URL = f"https://raw.githubusercontent.com/xychendave/ModelRecommendation/{_COMMIT}"
_SCORES = "record_domainnet_10_270.csv"
_MODELS = "source_model_meta_data.csv"
_DATASETS = "target_dataset_meta_data.csv"
_SHA256 = {
    _SCORES: "8af7ac2d88c452198ba1999830e09cdabb229c738f5b6351085544bf2219cacb",
    _MODELS: "246f0e10f62c2bb7a6400298ba35d35d3682a79d2ca74fa82d4a6a9eb6ff5886",
    _DATASETS: "e2b29e05c0e12b656fb4806bd976e60fea4d3ff3f7c049e6ff9a91ea18c96350",
}
_MODEL_COLUMNS = {
    "model name": "model",
    "Architecure_family": "family",
    "# of parameters": "parameters",
    "acc@1 (on ImageNet-1K)": "imagenet_top1",
    "GFLOPS": "gflops",
}
_DATASET_COLUMNS = {
    "domain": "domain",
    "categories": "categories",
    "Labels": "labels",
    "Sample_Size": "sample_size",
    "num_pre_class": "num_pre_class",
}
#: The figures of these two models stand in each other's row.
_SWAPPED = ["resnet101", "wide_resnet50_2"]

_DESCR = """\
DomainNet transfer: 10 image models, each fine-tuned on 270 small datasets drawn from DomainNet
-----------------------------------------------------------------------------------------------

:Records: 2700, one for each pair (no missing pair)
:Models: 10, pre-trained on ImageNet
:Datasets: 270 = 6 domains x 15 sets of classes (3 each of 2, 4, 8, 16, 32) x 3 sizes (10, 30, 50 images a class)
:Score: accuracy after fine-tuning, from 0 to 1

Source. The files of the paper "SCG4Trf" (github.com/xychendave/ModelRecommendation, commit 4f49c629); the images are
those of DomainNet (Peng et al.: "Moment Matching for Multi-Source Domain Adaptation", ICCV 2019).

Models. `family`, `parameters`, `imagenet_top1` (percent), `gflops`: figures of torchvision's weights. Upstream's table
has the figures of resnet101 (44,549,160 parameters, 81.886 %, 7.8 GFLOPS) and wide_resnet50_2 (68,883,240 parameters,
78.468 %, 11.4 GFLOPS) in each other's row; here they stand where they belong.

Datasets. `domain`, `categories` (number of classes), `labels` (their names, separated by commas), `sample_size`
(images), `num_pre_class` (images a class that were asked for; a class that has fewer gives what it has).

Ids. Upstream names its datasets twice: by set of classes, domain and images a class in the scores
(`task4_painting_10`), and by running number, domain and number of classes in the metadata (`4_painting_4`). The ids
here are the names in the scores. A metadata row belongs to the column of the same domain and the same images a class
whose set of classes is numbered by the row's place among these. The order of datasets is upstream's.
"""


def fetch_domainnet_transfer(
    data_home=None,
    download_if_missing=True,
    return_X_y=False,
    as_frame=True,
    *,
    n_retries=3,
    delay=1.0,
    timeout=30.0,
    progress=None,
):
    """Load the DomainNet transfer records: 10 image models fine-tuned on 270 datasets.

    They are downloaded once (60 kB) and kept in the cache.

    Parameters
    ----------
    data_home : path-like, optional
        The folder of the cache; by default ``$SKGAT_DATA``, else ``skgat`` in scikit-learn's data home.
    download_if_missing : bool, default=True
        If False, raise an error when a file is missing or damaged instead of downloading it.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a bunch.
    as_frame : bool, default=True
        If True, ``data`` is a DataFrame and ``target`` a Series. If False, they are an object array with the columns
        of ``feature_names`` and a float array.
    n_retries : int, default=3
        How often a failed download is tried again.
    delay : float, default=1.0
        Seconds before the first retry; doubled for each one after it.
    timeout : float, default=30.0
        Seconds that the server may stay silent.
    progress : bool, optional
        Whether to report downloads on stderr; by default only when it is a terminal.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the entries

        records : DataFrame of shape (2700, 12)
            Columns ``model``, ``dataset``, ``score``, ``model__*`` and ``dataset__*``.
        models, datasets : DataFrame
            The metadata, one row an id; the first column is the id.
        data, target, frame, feature_names, target_names
            As in scikit-learn's loaders.
        DESCR : str
            What it is and where it comes from.
    (data, target) : tuple if ``return_X_y``

    Raises
    ------
    DownloadError
        A file is missing and cannot be downloaded.

    Examples
    --------
    >>> from skgat.datasets import fetch_domainnet_transfer
    >>> history = fetch_domainnet_transfer()  # doctest: +SKIP
    >>> history.records.shape  # doctest: +SKIP
    (2700, 12)
    """
    paths = fetch_files(
        _BASE_URL, "domainnet", _SHA256,
        data_home=data_home, download_if_missing=download_if_missing,
        n_retries=n_retries, delay=delay, timeout=timeout, progress=progress,
    )  # fmt: skip
    wide = pd.read_csv(paths[_SCORES], index_col=0)
    scores = wide.rename_axis("model").melt(var_name="dataset", value_name="score", ignore_index=False).reset_index()
    return make_bunch(
        scores,
        _read_models(paths[_MODELS], wide.index),
        _read_datasets(paths[_DATASETS], wide.columns),
        descr=_DESCR,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def _read_models(path, order):
    models = pd.read_csv(path)[list(_MODEL_COLUMNS)].rename(columns=_MODEL_COLUMNS).set_index("model")
    figures = ["parameters", "imagenet_top1", "gflops"]
    models.loc[_SWAPPED, figures] = models.loc[_SWAPPED[::-1], figures].to_numpy()
    return models.astype({"parameters": "int64"}).loc[order].rename_axis("model").reset_index()


def _read_datasets(path, ids):
    table = pd.read_csv(path)
    place = table.groupby(["domain", "num_pre_class"]).cumcount() + 1
    table["dataset"] = "task" + place.astype(str) + "_" + table["domain"] + "_" + table["num_pre_class"].astype(str)
    table = table[["dataset", *_DATASET_COLUMNS]].rename(columns=_DATASET_COLUMNS)
    return table.set_index("dataset").loc[ids].rename_axis("dataset").reset_index()
