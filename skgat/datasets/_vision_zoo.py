"""The bundled vision zoo: 23 models on 11 datasets."""

__all__ = ["load_vision_zoo"]

from importlib.resources import files

import pandas as pd

from ._bunch import make_bunch

_DESCR = """\
Vision zoo: 23 pre-trained image models, each fine-tuned on 11 image classification datasets
--------------------------------------------------------------------------------------------

:Records: 253, one for each pair (no missing pair)
:Models: 23 (11 pre-trained with ImageNet labels, 12 self-supervised ResNet-50)
:Datasets: 11
:Score: accuracy on the test set after fine-tuning, in percent

Records. Fine-tuning accuracy as published in the tables of
    Wenqi Shao, Xun Zhao, Yixiao Ge, Zhaoyang Zhang, Lei Yang, Xiaogang Wang, Ying Shan, Ping Luo: "Not All Models Are
    Equal: Predicting Model Transferability in a Self-challenging Fisher Space", ECCV 2022 (the SFDA paper).

Models. `family` (architecture), `pretraining` (how it was pre-trained), `parameters` (with the 1000-way ImageNet
head), `gflops` (multiply-adds of one image, in 10^9), `input_size` (pixels), `imagenet_top1` (percent; for a
self-supervised model, of a linear classifier on its features), `year`.
    Architectures, parameters, multiply-adds and accuracy of the supervised models: the papers of ResNet (He et al.,
    2016), DenseNet (Huang et al., 2017), MNASNet (Tan et al., 2019), MobileNetV2 (Sandler et al., 2018), GoogLeNet
    (Szegedy et al., 2015) and Inception v3 (Szegedy et al., 2016), with the figures of torchvision's own weights.
    Linear-probe accuracy of the self-supervised models: the papers of BYOL (Grill et al., 2020), DeepCluster-v2,
    SeLa-v2 and SwAV (Caron et al., 2020), InfoMin (Tian et al., 2020), InsDis (Wu et al., 2018), MoCo v1 (He et al.,
    2020) and v2 (Chen et al., 2020), PCL v1 and v2 (Li et al., 2021), SimCLR v1 and v2 (Chen et al., 2020).

Datasets. `n_classes`, `train_size`, `test_size` (images), `domain`, `granularity` (coarse or fine classes).
    The papers of FGVC Aircraft (Maji et al., 2013), Caltech-101 (Fei-Fei et al., 2004), Stanford Cars (Krause et al.,
    2013), CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), DTD (Cimpoi et al., 2014), Oxford 102 Flowers (Nilsback and
    Zisserman, 2008), Food-101 (Bossard et al., 2014), Oxford-IIIT Pets (Parkhi et al., 2012), SUN397 (Xiao et al.,
    2010) and PASCAL VOC 2007 (Everingham et al., 2010).
"""


def load_vision_zoo(return_X_y=False, as_frame=True):
    """Load the bundled vision zoo: 23 image models fine-tuned on 11 datasets.

    It comes with the package; nothing is downloaded.

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a bunch.
    as_frame : bool, default=True
        If True, ``data`` is a DataFrame and ``target`` a Series. If False, ``data`` is an object array with the
        columns of ``feature_names`` and ``target`` a float array. ``records``, ``models`` and ``datasets`` are
        frames either way.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With the entries

        records : DataFrame of shape (253, 15)
            Columns ``model``, ``dataset``, ``score`` (accuracy in percent), ``model__*`` and ``dataset__*``.
        models, datasets : DataFrame
            The metadata, one row an id; the first column is the id.
        data, target
            The records without the scores, and the scores.
        frame : DataFrame or None
            ``records`` if ``as_frame``.
        feature_names, target_names : list of str
            The columns of ``data`` and of ``target``.
        DESCR : str
            What it is and the source of each table.
    (data, target) : tuple if ``return_X_y``

    Examples
    --------
    >>> from skgat.datasets import load_vision_zoo
    >>> zoo = load_vision_zoo()
    >>> zoo.records.shape
    (253, 15)
    >>> zoo.records.groupby("model")["score"].mean().nlargest(3).round(1).to_dict()
    {'resnet152': 87.1, 'densenet201': 86.7, 'deepcluster-v2': 86.4}
    """
    tables = files(__package__) / "data"
    scores, models, datasets = (_read(tables / f"vision_zoo_{name}.csv") for name in ("records", "models", "datasets"))
    return make_bunch(
        scores.rename(columns={"accuracy": "score"}),
        models,
        datasets,
        descr=_DESCR,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def _read(path):
    with path.open(encoding="utf-8") as file:
        return pd.read_csv(file)
