"""What is left of an estimator when its fit fails or is interrupted: what it was before."""

__all__ = ["all_or_nothing", "is_out_of_memory"]

import re
from contextlib import contextmanager

#: How torch says that no memory is left, on the CPU and on a GPU.
_OUT_OF_MEMORY = re.compile("can't allocate memory|out of memory")


def is_out_of_memory(error):
    """Tell whether an error of torch is about memory."""
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


@contextmanager
def all_or_nothing(estimator):
    """An interrupted or failing fit leaves the estimator as it was; what torch says of memory becomes a MemoryError."""
    before = {name: value for name, value in vars(estimator).items() if name.endswith("_")}
    try:
        yield
    except BaseException as error:
        for name in [name for name in vars(estimator) if name.endswith("_")]:
            delattr(estimator, name)
        for name, value in before.items():
            setattr(estimator, name, value)
        if is_out_of_memory(error):
            raise MemoryError(
                "There is not enough memory to train the networks. Smaller hidden_dim, n_layers or n_estimators take "
                f'less of it; device="cpu" takes none of the GPU\'s. ({str(error).splitlines()[0]})'
            ) from error
        raise
