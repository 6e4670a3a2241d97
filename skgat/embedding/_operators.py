"""What the many spellings of an operation are called here, so that traces of all kinds speak of the same things."""

__all__ = ["PLUMBING", "SIZES", "operator_name"]

import re

#: Operations that move, view or check data but compute nothing: the graph is drawn without them.
PLUMBING = frozenset(
    """
    identity dropout dropout1d dropout2d dropout3d alphadropout featurealphadropout droppath stochasticdepth flatten
    unflatten view reshape permute transpose t contiguous clone detach to type_as float half expand expand_as
    unsqueeze squeeze size shape dim getattr getitem setitem chunk split split_with_sizes unbind select slice narrow
    swapaxes swapdims movedim roll pad constant_pad_nd zeropad2d arange zeros ones full empty zeros_like ones_like
    full_like new_zeros new_ones new_full new_empty floordiv floor_divide mod lift_fresh_copy alias tensor as_tensor
    int eq ne gt ge lt le is is_not truth not assert assert_tensor_metadata sym_size len isinstance device dtype
    ndim numel is_contiguous masked_fill where tile repeat item sym_constrain_range scalar_tensor sym_sum
    assert_scalar to_copy copy unsafe_view
    """.split()  # noqa: SIM905 - a list of so many words is read as text
)

#: Operations that tell about data without passing them on.
SIZES = frozenset({"size", "sym_size", "shape", "dim", "ndim", "numel", "len", "device", "dtype", "is_contiguous"})

_CANONICAL = {
    "rectifiedlinear": "relu",
    "hardtanh": "relu6",
    "swish": "silu",
    "quickgelu": "gelu",
    "newgelu": "gelu",
    "iadd": "add",
    "imul": "mul",
    "multiply": "mul",
    "truediv": "div",
    "concat": "cat",
    "concatenate": "cat",
    "addmm": "linear",
    "mm": "matmul",
    "bmm": "matmul",
    "baddbmm": "matmul",
    "einsum": "matmul",
    "multiheadattention": "attention",
    "multi_head_attention_forward": "attention",
    "scaled_dot_product_attention": "attention",
    "nondynamicallyquantizablelinear": "linear",
    "lazylinear": "linear",
    "log_softmax": "softmax",
    "logsoftmax": "softmax",
    "mean": "avg_pool",
    "layernorm": "layer_norm",
    "native_layer_norm": "layer_norm",
    "groupnorm": "group_norm",
    "native_group_norm": "group_norm",
    "rmsnorm": "rms_norm",
    "syncbatchnorm": "batch_norm",
    "native_batch_norm": "batch_norm",
    "cudnn_batch_norm": "batch_norm",
}

#: What says how it is computed rather than what.
_MANNER = re.compile(r"(_no_training|_legit|_with_indices|_functional|_)+$")
_POOL = re.compile(r"^(adaptive_?)?(max|avg|lp)_?pool[123]?d?$")
_NORM = re.compile(r"^(lazy)?(batch|instance)_?norm[123]?d?$")
_CONV = re.compile(r"^(lazy)?conv(_?transpose|olution)?[123]?d?$")


def operator_name(raw):
    """The one name of an operation.

    Parameters
    ----------
    raw : str
        The name of a module's class, of a function, a method or an ATen overload.

    Returns
    -------
    str
        In lower case, such as "conv", "linear", "batch_norm", "max_pool", "add", "attention".
    """
    name = _MANNER.sub("", raw.rpartition("::")[2].split(".")[0].lower().lstrip("_"))
    pool, norm, conv = _POOL.match(name), _NORM.match(name), _CONV.match(name)
    if pool:
        # How many positions come out is a number of the node, no kind of its own.
        return f"{pool.group(2)}_pool"
    if norm:
        return f"{norm.group(2)}_norm"
    if conv:
        return "conv_transpose" if "transpose" in name else "conv"
    return _CANONICAL.get(name, name)
