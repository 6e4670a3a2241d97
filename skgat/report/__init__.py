"""One page to read and to pass on: which models to fine-tune on a dataset, and why."""

__all__ = ["write_report"]

from ._write import write_report
