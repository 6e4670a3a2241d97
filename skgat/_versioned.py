"""Pickles that know which skgat wrote them."""

__all__ = ["VersionedMixin"]

import warnings

from .exceptions import InconsistentSkgatVersionWarning

_KEY = "_skgat_version"


class VersionedMixin:
    """Writes the version of skgat into pickles, and warns where another version reads them.

    What :func:`skgat.persistence.save` writes has a version of its own and is meant for later versions: its packing
    sets the attribute ``_skgat_version`` to None, which says that there is nothing to warn of.
    """

    def __getstate__(self):
        return {_KEY: _own_version()} | dict(super().__getstate__())

    def __setstate__(self, state):
        state = dict(state)
        written, own = state.pop(_KEY, None), _own_version()
        if written is not None and written != own:
            warnings.warn(
                InconsistentSkgatVersionWarning(
                    estimator_name=type(self).__name__,
                    current_skgat_version=own,
                    original_skgat_version=written,
                ),
                stacklevel=2,
            )
        super().__setstate__(state)


def _own_version():
    from . import __version__

    return __version__
