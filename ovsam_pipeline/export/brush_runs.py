"""Masks ↔ the run lengths of Label Studio's brush: a packed bit stream of four-channel pixels.

Not COCO's: 32 bits for the number of values, 5 for bits a value less one, four times 4 for the bits
of a length less one; then blocks of 1 bit (1: one value repeated, 0: values one by one), 2 bits for
which length, the length less one, the value or values. The values are the red, green, blue and
alpha of the pixels along the rows; the mask is alpha. Source: rle-pack of thi.ng/umbrella, as
label-studio-sdk quotes it in converter/brush.py.

The SDK's own encoder makes four values a pixel of the whole image for each object, and a text of
zeros and ones; this one sees the object's box alone and computes on whole arrays. The SDK decodes
it to the same pixels (tests/consumers/test_editors.py).
"""

from __future__ import annotations

import numpy as np

from ovsam_pipeline.export.mask_crops import MaskCrop, list_image_row_runs

MOST_PIXELS = (1 << 30) - 1
"""Of an image: its values, four a pixel, are counted in 32 bits."""

_CHANNELS, _VALUE_BITS, _OPAQUE = 4, 8, 255
_LENGTH_BITS = np.array([3, 4, 8, 16])
_MOST_REPEATS = 1 << 16
_HEAD_BITS = 32 + 5 + 4 * 4
_BLOCK_HEAD_BITS = 3
# Half transparent is half in the mask; the SDK and Label Studio's own exports cut here, too.
_LEAST_ALPHA = 128


def encode_brush(crop: MaskCrop, height: int, width: int) -> np.ndarray:
    """Return a mask as the `rle` of a brush: (b,) uint8, to be written as a list of numbers.

    `height` and `width` are those of the image, in pixels.

    Raises:
        ValueError: the image has more pixels than the format can count.
    """
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"an image of {width} x {height} pixels is too large for Label Studio's brush, which "
            f"counts to {MOST_PIXELS} pixels"
        )
    runs = list_image_row_runs(crop, height, width) * _CHANNELS
    values = np.where(np.arange(len(runs)) % 2, _OPAQUE, 0)
    values, runs = values[runs > 0], runs[runs > 0]
    # A run longer than a block can say is several blocks.
    blocks = (runs + _MOST_REPEATS - 1) // _MOST_REPEATS
    lengths = np.full(int(blocks.sum()), _MOST_REPEATS)
    lengths[np.cumsum(blocks) - 1] = runs - (blocks - 1) * _MOST_REPEATS
    return _pack(_encode_head(height * width), *_encode_blocks(lengths, np.repeat(values, blocks)))


def decode_brush(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the (height, width) bool mask of a brush's `rle`, (b,) uint8.

    Memory is four bytes a pixel of the image, whatever the stream says.

    Raises:
        ValueError: it is cut off, was made for another image, or is another kind of stream.
    """
    stream = values.tobytes()
    if len(stream) * 8 < _HEAD_BITS:
        raise ValueError("it ends within its first eight bytes")
    head = int.from_bytes(stream[:7], "big") >> (56 - _HEAD_BITS)
    num_values, value_bits = head >> 21, ((head >> 16) & 31) + 1
    if num_values != height * width * _CHANNELS:
        raise ValueError(
            f"it has {num_values} values, where an image of {width} x {height} pixels has "
            f"{height * width * _CHANNELS}"
        )
    if value_bits != _VALUE_BITS:
        raise ValueError(f"expected values of {_VALUE_BITS} bits, got {value_bits}")
    length_bits = [((head >> shift) & 15) + 1 for shift in (12, 8, 4, 0)]
    pixels = _unpack(stream, num_values, length_bits).reshape(height, width, _CHANNELS)
    return np.asarray(pixels[..., -1] >= _LEAST_ALPHA)


def _encode_head(num_pixels: int) -> np.ndarray:
    head = num_pixels * _CHANNELS << 5 | _VALUE_BITS - 1
    for bits in _LENGTH_BITS.tolist():
        head = head << 4 | bits - 1
    shifts = np.arange(_HEAD_BITS - 1, -1, -1)
    return (np.int64(head) >> shifts & 1).astype(np.uint8)


def _encode_blocks(lengths: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each block of one repeated value as a number, and its bits: (m,) int64 each."""
    kinds = np.searchsorted(1 << _LENGTH_BITS, lengths)
    bits = _LENGTH_BITS[kinds]
    codes = ((4 + kinds << bits) + lengths - 1 << _VALUE_BITS) + values
    return codes, bits + _BLOCK_HEAD_BITS + _VALUE_BITS


def _pack(head: np.ndarray, codes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return bits, and behind them numbers of so many bits each, as bytes."""
    bits = np.unpackbits(codes.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)
    # The last bits of each number, number after number.
    is_used = np.arange(bits.shape[1]) >= bits.shape[1] - sizes[:, None]
    return np.packbits(np.concatenate([head, bits[is_used]]))


def _unpack(stream: bytes, num_values: int, length_bits: list[int]) -> np.ndarray:
    """Return the values after the head: (num_values,) uint8."""
    values = np.zeros(num_values, np.uint8)
    filled, position, num_bits = 0, _HEAD_BITS, len(stream) * 8
    bits = np.unpackbits(np.frombuffer(stream, np.uint8))

    def read(size: int) -> int:
        nonlocal position
        if position + size > num_bits:
            raise ValueError("it is cut off")
        first, last = position // 8, (position + size + 7) // 8
        number = int.from_bytes(stream[first:last], "big") >> (last * 8 - position - size)
        position += size
        return number & (1 << size) - 1

    while filled < num_values:
        is_repeated = read(1)
        count = read(length_bits[read(2)]) + 1
        stop = filled + count
        if stop > num_values:
            raise ValueError("its blocks hold more values than the image has")
        if is_repeated:
            if value := read(_VALUE_BITS):  # pages of zeros take no memory until they are written
                values[filled:stop] = value
        else:
            end = position + count * _VALUE_BITS
            if end > num_bits:
                raise ValueError("it is cut off")
            values[filled:stop] = np.packbits(bits[position:end])
            position = end
        filled = stop
    return values
