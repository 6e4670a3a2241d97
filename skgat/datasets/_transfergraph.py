"""TransferGraph: models of a public hub on image and text classification datasets."""

__all__ = ["fetch_transfergraph"]

from ._bunch import make_bunch
from ._cache import fetch_files
from ._transfergraph_tables import read_datasets, read_distances, read_measures, read_models, read_scores

_COMMIT = "0458aff3ae6832926bed0bac515f243f99a98df0"
_BASE_URL = f"https://raw.githubusercontent.com/TransferGraph/transfergraph/{_COMMIT}/resources/experiments"
_FOLDERS = {"image": "image_classification", "text": "sequence_classification"}
_RECORDS = "records.csv"
_MODELS = "model_config_dataset.csv"
_DATASETS = "target_dataset_features.csv"
_MEASURES = "transferability_score_records.csv"
#: Tables of dataset distances, the one that counts first.
_DISTANCES = {
    "image": ["corr_domain_similarity_google_vit_base_patch16_224_imagenet.csv"],
    "text": ["corr_domain_similarity_EleutherAI_gpt-neo-125m_gpt.csv", "corr_domain_similarity_gpt2_gpt.csv"],
}
_SHA256 = {
    "image": {
        _DISTANCES["image"][0]: "d5880dd17368201c18f7460335a6702a9cad2dc98880d079085518095a0e0752",
        _MODELS: "ae18ff2ece00fef61cda755038122f306a499b6c8d82d36530765e862ab2747b",
        _RECORDS: "0850df5da3bfd8ac3bf730ab985cac37362b68bcd16c4fc88eb7cdb5914861de",
        _DATASETS: "9270a0f342b184d76a0069ff22d0286cc06e920c219a1f983badb1c28bc08ccf",
        _MEASURES: "5803e4e3c08c53d95a6e451fc1509eb2a83494ea3ff1094db278e0f0a1875de9",
    },
    "text": {
        _DISTANCES["text"][0]: "18fd86fab16f3143f5e6091b09a86def52880a014e0759652bfd67cd919cc014",
        _DISTANCES["text"][1]: "6efe2765548e693e4875c427472ffdb58ef7097fb4f66e76131ada0d5b5fc46a",
        _MODELS: "059b39bd2f6a8ea89a4166c355bbb593dc8c24cd274a108487345da1e0ba28b9",
        _RECORDS: "e0cd973a374ffa46fdec44eea3cf06dda3eb769e4cb3fcf461879b69d51447c4",
        _DATASETS: "ee8145f44966ede77a7334b10e0302c6272bbb17291c22a8c91d4ab9d40a3fe1",
        _MEASURES: "cbea250210bebf42d3c903591c2681f1937421765bee787300bf688f3b7fd76a",
    },
}
_TARGETS = {
    "image": [
        "caltech101", "cifar100", "dtd", "flowers", "pets", "smallnorb_label_elevation", "stanfordcars", "svhn",
    ],
    "text": [
        "glue/cola", "glue/sst2", "rotten_tomatoes", "tweet_eval/emotion", "tweet_eval/hate", "tweet_eval/irony",
        "tweet_eval/offensive", "tweet_eval/sentiment",
    ],
}  # fmt: skip
_IMAGE_COLUMNS = """,
`input_size` (pixels), `output_size` (width of the features)"""
_TEXT_DISTANCES = """ Two files are
joined here: the table of GPT-Neo embeddings, and where it has no value that of GPT-2 embeddings (where both have one,
they differ by less than 0.04)."""

_DESCR = """\
TransferGraph, {modality} classification: models of a public hub, each fine-tuned on a number of datasets
---------------------------------------------------------------------------------------------------------

:Records: {n_records}, one a pair; not every pair was run
:Models: {n_models}
:Datasets: {n_datasets}; the 8 in `targets` are the ones that methods are evaluated on, leaving one out at a time
:Score: accuracy after full fine-tuning, from 0 to 1; the mean where a pair was run more than once

Source. The files of TransferGraph (Li et al.: "Model Selection with Model Zoo via Graph Learning", ICDE 2024;
github.com/TransferGraph/transfergraph, commit 0458aff3, resources/experiments/{folder}).

Cleaning. Left out are rows without a model or an accuracy, text rows whose fields are shifted (their dataset reads
`0.1`, `lora` or `none`, or their method `lor`), and the image rows of food101, where nearly every model stands at
chance level. Text rows that were fine-tuned with LoRA follow another protocol: their accuracies are in `lora_records`,
and are no feature of the records, since they were measured on the very pairs that are to be predicted. Run time and
loss of a run are left out for the same reason.

Models. `architecture`, `family`, `parameters`, `memory` (bytes), `pretrained_on` (what the hub's model was trained on;
hfpics stands for many small sets of pictures from the web), `pretrained_accuracy` (there, as its authors give it),
`n_labels`, `labels` (separated by commas; the dataset's name where upstream gives no list){image_columns}.

Datasets. `size` (examples), `n_classes`. Upstream's table has 10 classes for flowers and 18 for tweet_eval/offensive;
they have 102 and 2.

Pairs. Training-free transferability measures: `log_me` (LogME) and `reg_h_score` (regularised H-score); the mean where
a measure was taken more than once. They need no fine-tuning and stay visible for a held-out dataset. `pairs` has them
also for pairs that were not fine-tuned.

`dataset_distances`. Euclidean distances between embeddings of the datasets (upstream's files call them similarities).
The rows are fine-tuning datasets and pre-training datasets; a set from hfpics is named by its `labels`.{text_distances}
"""


def fetch_transfergraph(
    modality="image",
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
    """Load the TransferGraph records: hub models fine-tuned on image or text classification datasets.

    They are downloaded once (0.8 MB image, 1.3 MB text) and kept in the cache.

    Parameters
    ----------
    modality : {"image", "text"}, default="image"
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

        records : DataFrame
            Columns ``model``, ``dataset``, ``score``, ``model__*``, ``dataset__*`` and ``pair__*``.
        models, datasets : DataFrame
            The metadata, one row an id; the first column is the id.
        pairs : DataFrame
            Transferability measures by ``model`` and ``dataset``, also of pairs without a record.
        lora_records : DataFrame
            Columns ``model``, ``dataset``, ``score``: accuracies after fine-tuning with LoRA (text).
        dataset_distances : DataFrame
            A square table of distances.
        targets : list of str
            The eight datasets that methods are evaluated on.
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
    >>> from skgat.datasets import fetch_transfergraph
    >>> history = fetch_transfergraph("text")  # doctest: +SKIP
    >>> history.targets[:2]  # doctest: +SKIP
    ['glue/cola', 'glue/sst2']
    """
    if modality not in _FOLDERS:
        raise ValueError(f"Got modality={modality!r}, but expected 'image' or 'text'.")
    folder = _FOLDERS[modality]
    paths = fetch_files(
        f"{_BASE_URL}/{folder}", f"transfergraph/{folder}", _SHA256[modality],
        data_home=data_home, download_if_missing=download_if_missing,
        n_retries=n_retries, delay=delay, timeout=timeout, progress=progress,
    )  # fmt: skip
    scores, lora_records = read_scores(paths[_RECORDS])
    models = read_models(paths[_MODELS], scores["model"].unique())
    datasets = read_datasets(paths[_DATASETS], scores["dataset"].unique())
    descr = _DESCR.format(
        modality=modality,
        folder=folder,
        n_records=len(scores),
        n_models=len(models),
        n_datasets=len(datasets),
        image_columns=_IMAGE_COLUMNS if modality == "image" else "",
        text_distances=_TEXT_DISTANCES if modality == "text" else "",
    )
    return make_bunch(
        scores,
        models,
        datasets,
        read_measures(paths[_MEASURES]),
        descr=descr,
        return_X_y=return_X_y,
        as_frame=as_frame,
        lora_records=lora_records,
        dataset_distances=read_distances(paths[name] for name in _DISTANCES[modality]),
        targets=list(_TARGETS[modality]),
    )
