"""The one room that names scikit-learn's private API and its versions."""

__all__ = [
    "BaseScorer",
    "CallbackSupportMixin",
    "DocumentedMixin",
    "HasMethods",
    "Hidden",
    "Interval",
    "StrOptions",
    "check_feature_names",
    "check_y",
    "fit_context",
    "import_skops",
    "with_callbacks",
]

import sys

from sklearn.base import _fit_context as fit_context
from sklearn.metrics._scorer import _BaseScorer as BaseScorer
from sklearn.utils._param_validation import HasMethods, Hidden, Interval, StrOptions
from sklearn.utils.validation import _check_feature_names as check_feature_names
from sklearn.utils.validation import _check_y as check_y

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9

    class _SilentContext:
        """Stands where a callback context stands; nobody listens."""

        def subcontext(self, **_):
            return self

        def call_on_fit_task_begin(self, **_):
            return self

        def call_on_fit_task_end(self, **_):
            return False

    class CallbackSupportMixin:
        """Says what is missing when a callback is asked for; costs nothing otherwise."""

        def set_callbacks(self, *callbacks):
            """Refuse: callbacks came with scikit-learn 1.9."""
            if callbacks:
                raise RuntimeError("Callbacks need scikit-learn 1.9 or newer.")
            return self

        def _init_callback_context(self, **_):
            return _SilentContext()

    def with_callbacks(method):
        """Leave the method as it is."""
        return method


#: Where the documentation of the package is; ``[project.urls]`` says the same.
_DOCUMENTATION = "https://skgat.readthedocs.io/en/stable"
#: Packages that are public by themselves; what is elsewhere goes by the name of the whole.
_PUBLIC_PACKAGES = ("baselines", "embedding")


class DocumentedMixin:
    """Lets the HTML of an estimator link to its page in the documentation."""

    _doc_link_module = "skgat"
    _doc_link_template = f"{_DOCUMENTATION}/_generated/api/{{page}}.html"

    def _doc_link_url_param_generator(self):
        kind = type(self)
        package = kind.__module__.split(".")[1]
        home = f"skgat.{package}" if package in _PUBLIC_PACKAGES else "skgat"
        return {"page": f"{home}.{kind.__name__}"}


#: Parts of scikit-learn that import whole array libraries, and define no estimator.
_ARRAY_LIBRARIES = tuple(f"sklearn.externals.array_api_compat.{name}" for name in ("cupy", "dask", "torch"))


def import_skops():
    """Import ``skops.io`` without torch.

    When it is imported, skops walks through all packages of scikit-learn for estimators, and so imports every array
    library that is installed. For the walk they are made to look absent.

    Returns
    -------
    module
    """
    hidden = [name for name in _ARRAY_LIBRARIES if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        import skops.io
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
    return skops.io
