"""Which models to fine-tune together: :func:`select_ensemble`."""

__all__ = ["select_ensemble"]

import numpy as np
from joblib import Parallel, delayed

from ._arrays import host
from ._inputs import check_choice, check_count, check_fraction, read_labels
from ._sources import check_zoo, load
from .discriminant import Discriminant, sfda_of


def select_ensemble(
    zoo,
    labels,
    k,
    *,
    weight=0.5,
    complement_to="zoo",
    max_samples=1000,
    random_state=0,
    n_jobs=None,
    return_scores=False,
):
    r"""Select models that are good one by one and different from each other, as SFDA does.

    A model's score is :math:`r\,T^{SFDA} + (1 - r)\,T^{com}`: its SFDA score and its complementarity, each scaled to
    [0, 1] over the zoo. The complementarity is what the nuclear norm of all models' rows in Fisher space loses
    without this model, averaged over the samples. The ``k`` models of the highest scores are selected.

    Parameters
    ----------
    zoo : mapping of model id to source
        As in :func:`score_zoo`.
    labels : array-like of shape (n_samples,)
        Class labels of any dtype.
    k : int
        Number of models to select.
    weight : float in [0, 1], default=0.5
        The weight :math:`r` of the SFDA score; 1 gives the ``k`` best single models.
    complement_to : {"zoo", "selected"}, default="zoo"
        What a model's complementarity is measured against: all other models, as in the paper, or those selected
        before it, in which case models are selected one by one and the complementarity is what the nuclear norm
        gains. Where a zoo holds near-copies of a good model, none of them is missed much by the whole zoo, nor does
        one keep the others out; the latter then selects better ensembles.
    max_samples : int, default=1000
        The complementarity is averaged over so many rows, drawn without replacement, if there are more.
    random_state : int, default=0
        Seed of the draw.
    n_jobs : int, optional
        Number of models that are scored at the same time.
    return_scores : bool, default=False
        Whether to return a frame of scores too.

    Returns
    -------
    selected : list
        Ids of the selected models, best first. Ties keep the order of the zoo.
    scores : DataFrame
        Only with ``return_scores=True``: one row a model, with the columns ``model``, ``sfda``, ``complementarity``
        and ``score``.

    Notes
    -----
    Shao et al., "Not All Models Are Equal: Predicting Model Transferability in a Self-challenging Fisher Space", ECCV
    2022. A model's Fisher coordinates are unique up to a rotation only, to which the nuclear norm of a stack of
    models is not blind; here each model's are turned so that its class means lie along the axes of the classes as
    nearly as can be. The two terms of the score are in different units, which is why they are scaled.

    Examples
    --------
    >>> import numpy as np
    >>> from skgat.transferability import select_ensemble
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(3, size=300)
    >>> sees_first = rng.normal(size=(300, 4)) + 3 * np.eye(3, 4)[y] * [1, 0, 0, 0]
    >>> sees_second = rng.normal(size=(300, 4)) + 3 * np.eye(3, 4)[y] * [0, 1, 0, 0]
    >>> zoo = {"first": sees_first, "noise": rng.normal(size=(300, 4)), "second": sees_second}
    >>> sorted(select_ensemble(zoo, y, 2))
    ['first', 'second']
    """
    labels = read_labels(labels)
    check_zoo(zoo)
    check_fraction(weight, "weight")
    check_choice(complement_to, "complement_to", ("zoo", "selected"))
    check_count(max_samples, "max_samples")
    check_count(k, "k")
    if k > len(zoo):
        raise ValueError(f"Got k={k}, but expected at most as many as the {len(zoo)} models of the zoo.")
    rows = np.arange(len(labels))
    if max_samples < len(labels):
        rows = np.sort(np.random.default_rng(random_state).choice(len(labels), max_samples, replace=False))
    found = Parallel(n_jobs=n_jobs)(delayed(_describe)(name, source, labels, rows) for name, source in zoo.items())
    sfda = np.array([score for score, _ in found])
    stacks = np.stack([coordinates for _, coordinates in found], axis=1)
    if complement_to == "zoo":
        complementarity = _complementarity(stacks)
        scores = weight * _unit(sfda) + (1 - weight) * _unit(complementarity)
        order = np.argsort(-scores, kind="stable")[:k]
    else:
        order, complementarity, scores = _one_by_one(stacks, sfda, k, weight)
    names = list(zoo)
    selected = [names[i] for i in order]
    if not return_scores:
        return selected
    # pandas is needed for what is handed back only.
    import pandas as pd

    columns = {"model": names, "sfda": sfda, "complementarity": complementarity, "score": scores}
    return selected, pd.DataFrame(columns)


def _one_by_one(stacks, sfda, k, weight):
    """Select models by what they add to those selected; scores are those at which a model was selected or left."""
    n_models = stacks.shape[1]
    order, left = [], np.arange(n_models)
    gains, scores = np.zeros(n_models), np.zeros(n_models)
    while len(order) < k:
        base = _nuclear_norms(stacks[:, order]).mean()
        gains[left] = [_nuclear_norms(stacks[:, [*order, model]]).mean() - base for model in left]
        scores[left] = weight * _unit(sfda)[left]
        # The first is the best single model: there is nothing yet that it could complement.
        scores[left] += (1 - weight) * (_unit(gains[left]) if order else _unit(sfda)[left])
        order.append(int(left[scores[left].argmax()]))
        left = np.setdiff1d(left, order)
    return order, gains, scores


def _describe(name, source, labels, rows):
    """SFDA score and Fisher coordinates of one model."""
    try:
        m = load(source, labels).moments
        return sfda_of(m), _fisher_coordinates(m.compact, rows)
    except Exception as error:
        error.add_note(f"This happened with the model {name!r} of the zoo.")
        raise


def _fisher_coordinates(m, rows):
    """Rows in Fisher space, turned so that class means lie along the axes of the classes."""
    trace, spread = (float((x.diagonal()).sum()) for x in (m.within, m.gram))
    level = max(trace, 1e-12 * spread / m.n, 1e-300) / m.ambient
    model = Discriminant(m.class_means, m.within, m.labels.counts / m.n, 1e-3, level)
    scores = np.concatenate([host(m.take(part) @ model.coef) for part in m.parts(rows)])
    values, vectors = np.linalg.eigh(host(m.class_means @ model.coef))
    keep = values > 1e-10 * values[-1]
    return scores @ (vectors[:, keep] / np.sqrt(values[keep])) @ vectors[:, keep].T


def _complementarity(stacks):
    """What the nuclear norm of each sample's stack of models loses without each model, averaged over the samples."""
    n_models = stacks.shape[1]
    whole = _nuclear_norms(stacks)
    without = [_nuclear_norms(np.delete(stacks, model, axis=1)) for model in range(n_models)]
    return np.array([(whole - part).mean() for part in without])


def _nuclear_norms(stacks):
    if not stacks.shape[1]:
        return np.zeros(len(stacks))
    if stacks.shape[1] > stacks.shape[2]:
        stacks = stacks.swapaxes(1, 2)
    values = np.linalg.eigvalsh(stacks @ stacks.swapaxes(1, 2))
    return np.sqrt(values.clip(0, None)).sum(axis=1)


def _unit(values):
    width = np.ptp(values)
    return (values - values.min()) / width if width > 0 else np.zeros(len(values))
