"""Everything that several measures need of one model's features, computed once and only when asked for.

The features are read in blocks and centred before they are multiplied, in double precision: the Gram matrix of
offset or rank-deficient features is worthless in single precision.
"""

__all__ = ["UNLABELLED", "Moments"]

from functools import cached_property

import numpy as np

from ._arrays import as_single, class_sums, eigh, float_copy, float_view, host, like, namespace
from ._inputs import Features, read_labels

#: In the place of labels, where there are none: None is what a caller may pass by mistake.
UNLABELLED = object()
#: Centred features up to this size are kept; larger ones are read again for each pass.
_KEEP_BYTES = 512 * 2**20
#: Rows that are multiplied in single precision at a time: sums of few rounding errors, in memory that is used again.
_SINGLE_ROWS = 2048
#: Squares of features must be larger than this and smaller than its inverse: products of two are taken.
_LEAST_SQUARE = 1e-140
#: Principal axes of less than this share of the largest variance are not taken from single precision.
_ROUGH = 1e-3


class Moments:
    """Class sums, scatter matrices and factorisations of one model's features.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
    labels : array-like of shape (n_samples,) or UNLABELLED
        The latter where the measure looks at features and real targets only.
    """

    def __init__(self, features, labels):
        self.x = features if isinstance(features, Features) else Features(features)
        self.n, self.d = self.x.n_rows, self.x.n_columns
        if self.n < 2:
            raise ValueError(f"Got {self.n} row(s) of features, but expected at least 2.")
        self.labels = None if labels is UNLABELLED else read_labels(labels, self.n)

    @property
    def codes(self):
        """Class of each row; one class of all rows where there are no labels."""
        return np.zeros(self.n, dtype=np.int64) if self.labels is None else self.labels.codes

    @cached_property
    def counts(self):
        """Rows of each class, as floats where the features live."""
        return like(np.bincount(self.codes).astype(np.float64), self.sums)

    @cached_property
    def sums(self):
        """Sum of the features of each class, one row a class."""
        codes, n_classes = self.codes, int(self.codes.max()) + 1
        total = 0
        for rows in [slice(0, self.n)] if self.fits else self.x.slices():
            block = self.x[rows]
            total = total + class_sums(block, codes[rows], n_classes)
            if self.fits:
                self._raw = block
        self.x.check_finite(total)
        return total

    @cached_property
    def mean(self):
        """Mean of all rows."""
        return self.sums.sum(axis=0) / self.n

    @cached_property
    def class_means(self):
        """Mean of each class less the mean of all rows."""
        means = self.sums / self.counts[:, None] - self.mean
        means[:, self._still] = 0
        return means

    @cached_property
    def _still(self):
        """Columns that do not vary: what is left of them after centring is rounding and must not count."""
        noise = 1e-13 * abs(self.mean)
        apart = abs(self.sums / self.counts[:, None] - self.mean)
        columns = np.flatnonzero(host((apart <= noise).all(axis=0)))
        for rows in self.x.slices():
            if not len(columns):
                break
            here = like(columns, self.mean)
            residual = abs(self.x[rows][:, here] - self.mean[here])
            columns = columns[host((residual <= noise[here]).all(axis=0))]
        return like(columns, self.mean)

    def _centre(self, block):
        block -= self.mean
        if len(self._still):
            block[:, self._still] = 0
        return block

    @cached_property
    def _centred(self):
        # What the sums have read is not read again, but it is given up only after all that looks at raw features.
        needed = self.mean, self._still  # noqa: F841
        raw = self.__dict__.pop("_raw", None)
        return self._centre(self.x[slice(None)] if raw is None else raw)

    @property
    def fits(self):
        """Whether the centred features are kept in memory."""
        return self.x.bytes <= _KEEP_BYTES

    def blocks(self):
        """Yield ``(rows, centred features of these rows)``; the arrays must not be written to."""
        for rows in [slice(0, self.n)] if self.fits else self.x.slices():
            yield rows, self._centred if self.fits else self._centre(self.x[rows])

    def take(self, rows):
        """Centred features of some rows."""
        return self._centred[like(rows, self.mean)] if self.fits else self._centre(self.x[rows])

    def parts(self, rows):
        """Cut an array of rows into arrays that :meth:`take` can take in little memory."""
        return [rows] if self.fits else np.array_split(rows, 1 + len(rows) // self.x.slices()[0].stop)

    @cached_property
    def gram(self):
        """``X' X`` of the centred features."""
        total = 0
        for _, block in self.blocks():
            total = total + block.T @ block
        return self.checked(total)

    @cached_property
    def rough_gram(self):
        """The Gram matrix to six digits of its largest entry: for what does not look at small eigenvalues."""
        if "gram" in self.__dict__ or not self._large:
            return self.gram
        total = 0
        for _, block in self.blocks():
            part = None
            # Scaled, or the squares of very small or large numbers would leave the range of single precision.
            scale = float(abs(block[:: 1 + len(block) // 256]).max()) or 1.0
            for start in range(0, len(block), _SINGLE_ROWS):
                single = as_single(block[start : start + _SINGLE_ROWS], scale)
                product = single.T @ single
                if part is None:
                    part = float_copy(product)
                else:
                    part += product
            part *= scale
            part *= scale
            total = total + part
        return self.checked(total)

    @property
    def _large(self):
        """Whether single precision is worth its loss."""
        return self.x.bytes >= 2**20

    @cached_property
    def kernel(self):
        """``X X'`` of the centred features; asked for only where there are fewer rows than columns."""
        block = self.take(np.arange(self.n))
        return self.checked(block @ block.T)

    def checked(self, squares):
        """``squares`` themselves, such as a Gram matrix, if they can be squared once more, as the measures do."""
        largest = float(abs(squares).max())
        if not largest < 1 / _LEAST_SQUARE:
            raise ValueError(f"Got {self.x.name} whose squares overflow, expected numbers of a sensible size.")
        if 0 < largest < _LEAST_SQUARE:
            raise ValueError(f"Got {self.x.name} whose squares vanish, expected numbers of a sensible size.")
        return squares

    @cached_property
    def square_norms(self):
        """Squared distance of each row to the mean, on the host."""
        out = np.empty(self.n)
        for rows, block in self.blocks():
            out[rows] = host(namespace(block).einsum("ij,ij->i", block, block))
        return self.checked(out)

    @cached_property
    def within(self):
        """Scatter of the rows around their class means, divided by the number of rows."""
        return (self.gram - (self.class_means * self.counts[:, None]).T @ self.class_means) / self.n

    @cached_property
    def compact(self):
        """The same features in no more columns than rows, turned so that nothing about them changes."""
        return self if self.n > self.d else _Rotated(self)

    @property
    def ambient(self):
        """Number of columns of the original features."""
        return self.d

    @cached_property
    def ones(self):
        """The vector of ones of the original columns, in these columns."""
        return like(np.ones(self.d), self.mean)

    def principal(self, k=None, energy=1.0):
        """Rows along the first principal axes: ``(variances, rows)``, largest variance first.

        At most ``k`` axes, and no more than it takes to keep the share ``energy`` of the variance; at least one. An
        axis along which nothing varies is none, so that columns which repeat others, or say nothing, change nothing.
        """
        m = self.compact
        k = m.d if k is None else min(k, m.d)
        values, vectors, rough = m._axes(k)
        values, vectors = host(values)[::-1][:k], namespace(vectors).flip(vectors, (1,))
        k = max(1, int((values > _null(m.n, self.d) * values[0]).sum()))
        if energy < 1:
            total = float(namespace(vectors).diagonal(m.rough_gram).sum())
            k = min(k, 1 + int((np.cumsum(values) < (energy - 1e-12) * total).sum()))
        rows = namespace(vectors).concatenate([block @ vectors[:, :k] for _, block in m.blocks()])
        if rough:
            # Turned within the space that they span to where double precision finds the axes.
            values, turned = eigh(rows.T @ rows)
            values, rows = host(values)[::-1], rows @ namespace(turned).flip(turned, (1,))
        return values[:k] / self.n, rows

    def _axes(self, k):
        """Eigenvalues and eigenvectors of the Gram matrix, at least the ``k`` largest, and whether they are rough."""
        known = self.__dict__.get("_axes_known")
        if known is None or len(known[0]) < k:
            rough = self._rough_axes(k) if self._large and k < self.d else None
            known = self.__dict__["_axes_known"] = (*eigh(self.gram, k), False) if rough is None else (*rough, True)
        return known

    def _rough_axes(self, k):
        """The axes from single precision; None where that misses them, as what is small beside the largest variance."""
        gram = self.rough_gram
        scale = float(abs(gram).max())
        if not scale > 0:
            return None
        values, vectors = eigh(as_single(gram, scale), k)
        if not float(values[0]) > _ROUGH * float(values[-1]):
            return None
        return float_view(values) * scale, namespace(vectors).linalg.qr(float_view(vectors))[0]


def _null(n_rows, n_columns):
    """Share of the largest variance that is no more than rounding."""
    return max(n_rows, n_columns) * np.finfo(np.float64).eps


class _Rotated(Moments):
    """Features with fewer rows than columns in the axes that their rows span."""

    def __init__(self, wide):
        values, vectors = eigh(wide.kernel)
        keep = values > _null(wide.n, wide.d) * values[-1]
        # Features that do not vary at all keep one column of zeros.
        keep[-1] = True
        roots = namespace(values).sqrt(namespace(values).clip(values[keep], 0, None))
        super().__init__(vectors[:, keep] * roots, UNLABELLED if wide.labels is None else wide.labels)
        projected = (wide.take(np.arange(wide.n)).sum(axis=1)) @ vectors[:, keep]
        self._ones = projected / namespace(roots).where(roots > 0, roots, roots * 0 + 1)
        self._ambient = wide.d

    @property
    def compact(self):
        """These features."""
        return self

    @property
    def ambient(self):
        """Number of columns of the original features."""
        return self._ambient

    @property
    def ones(self):
        """The vector of ones of the original columns, in these columns."""
        return self._ones
