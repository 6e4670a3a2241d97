"""What the transformers of records hand over: a frame with or without the ids, in the library that is asked for."""

__all__ = ["RecordsOutputMixin", "unique_names"]

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.utils.validation import check_is_fitted

from ._frames import as_container, as_pandas, column_names, is_frame


class RecordsOutputMixin:
    """The output side of a transformer with the parameters ``model``, ``dataset``, ``target`` and ``output``.

    Its ``fit`` leaves the names of the columns of numbers in ``_names``.
    """

    def _hand_over(self, X, pairs, values):
        """Rows of numbers in the form that ``output`` and ``set_output`` ask for."""
        library = self._output_library()
        if not pairs.named and library == "default":
            return values if self.output == "features" else np.column_stack([pairs.models, pairs.datasets, values])
        index = X.index if isinstance(X, pd.DataFrame) else pairs.features.index
        frame = pd.DataFrame(values, index=index, columns=self._names, copy=False)
        if self.output == "records":
            ids = pd.DataFrame({self.model: pairs.models, self.dataset: pairs.datasets}, index=index)
            frame = pd.concat([ids, frame], axis=1)
            if pairs.named and is_frame(X) and self.target in column_names(X):
                frame[self.target] = as_pandas(X, columns=[self.target])[self.target].to_numpy()
        return as_container(frame, library)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns that `transform` returns, the target left out.

        Parameters
        ----------
        input_features : array of str, optional
            Compared with the columns seen in `fit`; not needed.

        Returns
        -------
        array of str
        """
        check_is_fitted(self)
        if input_features is not None:
            seen = getattr(self, "feature_names_in_", None)
            if seen is not None and not np.array_equal(seen, input_features):
                raise ValueError("input_features is not equal to feature_names_in_")
            if len(input_features) != self.n_features_in_:
                raise ValueError(
                    f"input_features should have length equal to number of features ({self.n_features_in_}), "
                    f"got {len(input_features)}"
                )
        ids = [self.model, self.dataset] if self.output == "records" else []
        return np.array([*ids, *self._names], dtype=object)

    # scikit-learn's own wrapping of transform knows no column that is there or not, as the target is.
    def set_output(self, *, transform=None):
        """Choose the library of the frame that `transform` returns.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, optional
            ``"default"`` is pandas, and an array for an array. None leaves things as they are.

        Returns
        -------
        estimator
            The transformer itself.
        """
        if transform not in (None, "default", "pandas", "polars"):
            raise ValueError(f"Got transform={transform!r}, but expected 'default', 'pandas' or 'polars'.")
        if transform is not None:
            self._transform_output = transform
        return self

    def _output_library(self):
        return getattr(self, "_transform_output", get_config()["transform_output"])

    def __sklearn_clone__(self):
        twin = super().__sklearn_clone__()
        return twin.set_output(transform=getattr(self, "_transform_output", None))


def unique_names(names, taken):
    """The names in their order; one that is there already gets a number."""
    seen = set(taken)
    unique = []
    for name in names:
        fresh, count = name, 2
        while fresh in seen:
            fresh, count = f"{name}_{count}", count + 1
        seen.add(fresh)
        unique.append(fresh)
    return unique
