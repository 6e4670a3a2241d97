"""From a fitted recommender to a ranked list of models for each dataset."""

__all__ = ["recommend"]


def recommend(
    recommender,
    datasets,
    models=None,
    *,
    k=5,
    strategy="mean",
    exclude_known=False,
    context=None,
    random_state=None,
    exploration=1.0,
):
    """Rank the models to fine-tune on each dataset, best first.

    Parameters
    ----------
    recommender : estimator
        Any fitted regressor or Pipeline that takes records, or a fitted search over one (its ``best_estimator_``).
    datasets : id, list of ids, dict or frame
        The datasets to recommend for, known or unknown. A dict is the metadata of one dataset, a frame has one row a
        dataset, with the ids in the column that is named as the recommender's ``dataset``. Without an id (a dict, or a
        frame of one row) the dataset is called after the one dataset in ``context``, else ``"new dataset"``. Metadata
        goes by its name in the records (``dataset__size``) or without the prefix (``size``).
    models : list of ids, dict or frame, default=None
        The candidates, in the same forms; by default all known models.
    k : int or None, default=5
        How many models for each dataset; None for all candidates.
    strategy : {"mean", "ucb", "thompson"}, default="mean"
        What to rank by: the predicted score; the score plus ``exploration`` times its standard deviation, to try what
        might be good; or one draw a pair from the normal distribution of both. The last two need a regressor whose
        ``predict`` takes ``return_std``; where it has a ``ranking_std``, that is the standard deviation, for how good
        the dataset is for all models alike is no reason to try one of them.
    exclude_known : bool, default=False
        Whether to leave out pairs whose score is known already, from ``fit`` or from ``context``. There may then be
        fewer than ``k`` models left for a dataset.
    context : frame of records, default=None
        A few results on the datasets, scores included. They are taken in by ``partial_fit`` on a copy; the
        recommender stays as it is.
    random_state : int, RandomState instance or None, default=None
        For ``strategy="thompson"``.
    exploration : float, default=1.0
        For ``strategy="ucb"``.

    Returns
    -------
    ranking : pandas.DataFrame
        With the columns ``dataset``, ``rank`` (from 1 within each dataset), ``model``, ``score`` (the predicted score,
        whatever the strategy) and ``std`` (NaN when the regressor has none). Ties are in the order of the model ids.
        A notebook shows it with bars for the scores and their 80 % intervals.

    Notes
    -----
    Of ten thousand known models and more, ranked by score alone, a recommender with ``predict_all`` tells which are far
    from the first ``k``. These are not looked at one by one; scores, ties and order are the same as if they were.

    Examples
    --------
    >>> import pandas as pd
    >>> from skgat import recommend
    >>> from skgat.baselines import BiasRegressor
    >>> records = pd.DataFrame({
    ...     "model": ["vit", "resnet", "vit", "resnet"],
    ...     "dataset": ["pets", "pets", "cars", "cars"],
    ...     "score": [0.9, 0.8, 0.7, 0.4],
    ... })
    >>> recommend(BiasRegressor(shrinkage=0).fit(records), "flowers", k=2).round(2)
       dataset  rank   model  score  std
    0  flowers     1     vit    0.8  NaN
    1  flowers     2  resnet    0.6  NaN
    """
    # Imported here so that the package can bind this function at once and still be light to import.
    from ._candidates import Request, rank_candidates
    from ._ranking_html import with_bars

    request = Request(k, strategy, exclude_known, random_state, exploration)
    return with_bars(rank_candidates(recommender, datasets, models, context, request))
