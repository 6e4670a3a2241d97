"""What is looked at in a saved file before anything is built from it: that it is small, plain and says what it holds.

The file format leaves it to its readers to allocate what array headers promise, to follow references and to unfold
what is compressed. A file that was made to harm could fill the memory with that, or keep the processor busy for ever.
"""

__all__ = ["DESCRIPTION", "HEADER", "check_content", "check_entries"]

import io
import json
import math
import re
import stat
import zipfile

import numpy as np

HEADER = "skgat.json"
DESCRIPTION = "schema.json"

#: An honest file has a few entries for each tree of a forest and a few dozen for all else.
_MOST_ENTRIES = 100_000
#: Python's objects take some 25 times the memory of the text that describes them.
_MOST_TEXT = 2**26
_ENTRY_NAME = re.compile(rf"{re.escape(HEADER)}|{re.escape(DESCRIPTION)}|[0-9a-f-]{{1,40}}\.(npy|bin)")
_START_OF_ENTRY = b"PK\x01\x02"
_ENCRYPTED = 1
#: Which kind of entry each node of the description reads. Sparse matrices, which lie in archives within the archive
#: and are compressed there, are of no type that may be loaded.
_SUFFIXES = {"NdArrayNode": ".npy", "BytesNode": ".bin", "BytearrayNode": ".bin"}
_TREE = ("sklearn.tree._tree", "Tree")


def check_entries(data):
    """Check the list of entries of an archive.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    header : object
        What the header says, None if there is none.

    Raises
    ------
    ValueError
        When the entries are not as ``save`` makes them.
    zipfile.BadZipFile
        When it is no archive.
    """
    # Counted before the list is read, as each entry of a list takes several hundred bytes.
    if data.count(_START_OF_ENTRY) > _MOST_ENTRIES:
        raise ValueError(f"it has more than {_MOST_ENTRIES:,} entries")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        names = {entry.filename for entry in entries}
        if HEADER not in names:
            return None
        if len(names) < len(entries):
            raise ValueError("it has several entries of one name")
        for entry in entries:
            _check_entry(entry)
        if sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("its entries are compressed or overlap")
        return json.loads(archive.read(HEADER))


def _check_entry(entry):
    shown = ascii(entry.filename[:80])
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or entry.is_dir():
        raise ValueError(f"its entry {shown} is a link or a folder")
    if not _ENTRY_NAME.fullmatch(entry.filename):
        raise ValueError(f"it has an entry {shown}, which no saved file has")
    # Nothing that is stored as it is can unfold into more than the file's own size.
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
        raise ValueError("its entries are compressed or overlap")
    if entry.filename in (HEADER, DESCRIPTION) and entry.file_size > _MOST_TEXT:
        raise ValueError(f"its entry {shown} has more than {_MOST_TEXT:,} bytes")


def check_content(data):
    """Check the description of the objects and the arrays of an archive whose entries are in order.

    Parameters
    ----------
    data : bytes

    Raises
    ------
    ValueError
        When the description is not as ``save`` writes it, or an array is not as large as it says.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith(".npy"):
                with archive.open(entry) as file:
                    _check_array(file, entry)
        _count_nodes(json.loads(archive.read(DESCRIPTION)), archive, {})


def _check_array(file, entry):
    """Numpy allocates what the header of an array promises before it looks at what follows."""
    shape, dtype = _read_header(file)
    count = math.prod(shape)
    if dtype.hasobject or min(shape, default=0) < 0 or (count and not dtype.itemsize):
        raise ValueError(f"its array {entry.filename!r} is none of numbers or text")
    if file.tell() + count * dtype.itemsize != entry.file_size:
        raise ValueError(f"its array {entry.filename!r} is not as large as it says")


def _read_header(file):
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"an array has the unknown format {version}")
    return shape, dtype


def _count_nodes(node, archive, sizes):
    """Check each node, and count them.

    Whatever occurs twice must be written out twice, or a few lines could refer to each other without end.
    """
    if isinstance(node, list):
        return sum(_count_nodes(child, archive, sizes) for child in node)
    if not isinstance(node, dict):
        return 0
    _check_node(node, archive)
    size = 1 + sum(_count_nodes(child, archive, sizes) for child in node.values())
    number = node.get("__id__")
    # A dictionary may have a key of this name; what is there is a node of its own.
    if isinstance(number, int | float | str) and sizes.setdefault(number, size) != size:
        raise ValueError("two of its objects have the same number")
    return size


def _check_node(node, archive):
    loader = node.get("__loader__")
    if loader == "CachedNode":
        raise ValueError("it refers to objects in place of describing them")
    if loader == "SparseMatrixNode":
        raise ValueError("it holds a sparse matrix, which could unfold to any size")
    if loader in _SUFFIXES and not str(node.get("file", _SUFFIXES[loader])).endswith(_SUFFIXES[loader]):
        raise ValueError(f"it takes {node['file']!a} for what it is not")
    if loader == "TreeNode":
        _check_tree_arguments(node["__reduce__"]["args"]["content"], archive)
    elif (node.get("__module__"), node.get("__class__")) == _TREE:
        raise ValueError("a decision tree is not described as one")


def _check_tree_arguments(arguments, archive):
    """scikit-learn reads as many numbers of classes as a tree says that it has outputs, without looking."""
    _, classes, outputs = arguments
    with archive.open(classes["file"]) as file:
        shape, _ = _read_header(file)
    if outputs["__loader__"] != "JsonNode" or shape != (json.loads(outputs["content"]),):
        raise ValueError("a decision tree does not have the outputs that it says")
