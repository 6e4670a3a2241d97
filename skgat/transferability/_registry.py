"""The measures by name, and how several are taken of one model with everything shared."""

__all__ = ["MEASURES", "OF_TARGETS", "score_model"]

from ._inputs import read_targets
from .collapse import ncti_parts
from .conditional import leep_of, nce, nleep_of
from .discriminant import h_score_of, regularized_h_score_of, sfda_of
from .evidence import logme_of
from .geometry import gbc_of, lfc_of, transrate_of
from .pac import pactran_of, pactran_of_probabilities
from .pairs import parc_of
from .probes import knn_of, lda_of, linear_probe_of


def _leep(model, **params):
    return leep_of(model.probabilities, model.labels, **params)


def _nce(model, **params):
    return nce(model.source_labels, model.labels, **params)


def _pactran(model, **params):
    if model.has("probabilities") and params.get("bound", "dirichlet") != "gaussian":
        return pactran_of_probabilities(model.probabilities, model.labels, **params)
    return pactran_of(model.moments, **params)


def _of_moments(function):
    return lambda model, **params: function(model.moments, **params)


def _of_targets_too(function):
    def score(model, **params):
        targets = None if model.targets is None else read_targets(model.targets, model.moments.n)
        return function(model.moments, targets, **params)

    return score


#: Measures that real targets have too.
OF_TARGETS = ("lfc", "logme")

#: In the order in which they are taken: the first two add up the Gram matrix on the way, if nobody needed it before.
MEASURES = {
    "lda": _of_moments(lda_of),
    "transrate": _of_moments(transrate_of),
    "logme": _of_targets_too(logme_of),
    "h_score": _of_moments(h_score_of),
    "regularized_h_score": _of_moments(regularized_h_score_of),
    "sfda": _of_moments(sfda_of),
    "lfc": _of_targets_too(lfc_of),
    "gbc": _of_moments(gbc_of),
    "ncti": _of_moments(ncti_parts),
    "nleep": _of_moments(nleep_of),
    "parc": _of_moments(parc_of),
    "knn": _of_moments(knn_of),
    "linear_probe": _of_moments(linear_probe_of),
    "leep": _leep,
    "nce": _nce,
    "pactran": _pactran,
}


def score_model(model, measures, params):
    """Take several measures of one model.

    Parameters
    ----------
    model : ModelData
    measures : sequence of str
    params : mapping of measure to dict

    Returns
    -------
    scores : dict of measure to score
    errors : dict of measure to exception
    """
    scores, errors = {}, {}
    for measure, function in MEASURES.items():
        if measure not in measures:
            continue
        try:
            scores[measure] = function(model, **params.get(measure, {}))
        except Exception as error:  # noqa: BLE001 - one measure that cannot be taken must not cost the others
            errors[measure] = error
    return scores, errors
