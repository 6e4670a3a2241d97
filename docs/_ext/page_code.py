"""Running the blocks of a page; knows nothing of Sphinx."""

import ast
import contextlib
import io
import shutil
import tempfile
import warnings
from pathlib import Path

__all__ = ["Page", "run_block"]

#: Warnings of old libraries about their own insides, as in the settings of the tests.
_IGNORED = (".*torch.jit.script.* is deprecated", ".*torch_geometric.distributed.* has been deprecated")


class Page:
    """The names and the folder that the blocks of one page share."""

    def __init__(self):
        self.names = {"__name__": "__page__"}
        self.folder = Path(tempfile.mkdtemp(prefix="skgat-page-"))
        self.figures = 0

    def close(self):
        """Remove the folder."""
        shutil.rmtree(self.folder)


def run_block(code, names):
    """Run a block.

    Parameters
    ----------
    code : str
    names : dict
        Read and written.

    Returns
    -------
    printed : str
    value : object
        Of the last statement where it is an expression, else None.
    """
    tree = ast.parse(code)
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("error")
        for message in _IGNORED:
            warnings.filterwarnings("ignore", message, DeprecationWarning)
        # joblib replaces a worker that has grown; as an error this ends its own thread, and the page waits for ever.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
        exec(compile(tree, "<page>", "exec"), names)
        value = None if last is None else eval(compile(last, "<page>", "eval"), names)
    return printed.getvalue(), value
