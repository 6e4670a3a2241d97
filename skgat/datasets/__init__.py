"""Histories of fine-tuning results: two that are bundled, two that are fetched, and synthetic ones.

Each comes as a :class:`~sklearn.utils.Bunch` with ``records`` (tidy), ``models``, ``datasets`` and ``DESCR``.
"""

__all__ = [
    "fetch_domainnet_transfer",
    "fetch_transfergraph",
    "load_digits_zoo",
    "load_vision_zoo",
    "make_transfer_records",
]

from ._digits_zoo import load_digits_zoo
from ._domainnet import fetch_domainnet_transfer
from ._synthetic import make_transfer_records
from ._transfergraph import fetch_transfergraph
from ._vision_zoo import load_vision_zoo
