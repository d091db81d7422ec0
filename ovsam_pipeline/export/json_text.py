"""Arrow columns → JSON text, whole columns at a time: no Python object per row.

All functions but the last return a string column with one piece of JSON per row.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SEPARATOR = ",\n"


def encode_numbers(numbers: pa.Array) -> pa.StringArray:
    """Return numbers as their shortest decimal; null stays null.

    Parsed as float64, a float32 becomes what `float(str(np.float32(x)))` is: scores keep their
    order and their ties. Whole numbers have no ".0". What is not finite becomes `NaN` or `Infinity`
    as in Python's json.
    """
    texts = pc.cast(numbers, pa.string())
    if pa.types.is_floating(numbers.type) and not pc.all(pc.is_finite(numbers)).as_py():
        texts = pc.replace_substring(texts, "nan", "NaN")
        texts = pc.replace_substring(texts, "inf", "Infinity")
    return texts


def round_to_cents(values: np.ndarray) -> np.ndarray:
    """Round float32 as Python's `round(value, 2)` does: to the nearest, ties to even.

    A hundred times a float32 is exact in float64, so nothing is rounded twice.
    """
    return np.rint(values.astype(np.float64) * 100) / 100


def encode_texts(texts: pa.StringArray) -> pa.StringArray:
    """Return texts as JSON strings without the quotes around them; none may be null."""
    # Most texts are run lengths without any character to escape but the backslash: the bytes of the
    # whole column are looked at, and changed, at once.
    start, stop = texts.offset, texts.offset + len(texts)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[start : stop + 1]
    if not len(texts) or offsets[0] == offsets[-1]:
        return texts
    data = memoryview(texts.buffers()[2])[offsets[0] : offsets[-1]].tobytes()
    bytes_ = np.frombuffer(data, np.uint8)
    if bytes_.min() < ord(" ") or b'"' in data:
        return pa.array([_encode(text)[1:-1] for text in texts.to_pylist()], pa.string())
    if b"\\" not in data:
        return texts
    # This is three times as fast as replace_substring.
    places = np.flatnonzero(bytes_ == ord("\\"))
    offsets = offsets - offsets[0]
    offsets = (offsets + np.searchsorted(places, offsets)).astype(np.int32)
    buffers = pa.py_buffer(offsets), pa.py_buffer(data.replace(b"\\", b"\\\\"))
    return pa.StringArray.from_buffers(len(texts), *buffers)


def encode_name_field(name: str, texts: pa.StringArray) -> pa.StringArray:
    """Return `,"name":"text"` per row, null where the text is; encodes each distinct text once."""
    distinct = texts.dictionary_encode()
    fields = [f",{_encode(name)}:{_encode(text)}" for text in distinct.dictionary.to_pylist()]
    return pa.array(fields, pa.string()).take(distinct.indices)


def prefix_field(name: str, values: pa.StringArray) -> pa.StringArray:
    """Return `,"name":value` per row, null where the value is."""
    return pc.binary_join_element_wise(f",{_encode(name)}:", values, "")


def join_lines(*pieces: pa.StringArray | str) -> memoryview:
    r"""Join columns and constants to one line per row, each after ",\n"; nulls are left out."""
    lines = pc.binary_join_element_wise(_SEPARATOR, *pieces, "", null_handling="skip")
    if not len(lines):
        return memoryview(b"")
    bounds = np.frombuffer(lines.buffers()[1], np.int32)
    first, last = bounds[lines.offset], bounds[lines.offset + len(lines)]
    return memoryview(lines.buffers()[2])[first:last]


def _encode(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
