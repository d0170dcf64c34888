"""Decode and encode the bit streams in which Label Studio stores painted masks.

A stream holds four values of 8 bits for each pixel, row by row. The fourth value is the opacity;
nbseg writes four equal values. The parts of a stream are:

- 32 bits: the number of values, 4 * width * height.
- 5 bits: the size of a value in bits, minus 1.
- 4 times 4 bits: four sizes in bits, each minus 1. Each record below uses one of these sizes.
- Records, until all values are stored. A record holds either a run (one value that is repeated) or
  literals (values that follow one another).

The parts of a record are:

- 1 bit: 1 for a run, 0 for literals.
- 2 bits: the index of one of the four sizes.
- The number of values in the record, minus 1. This number has the chosen size.
- The value of the run, or all literals.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

VALUE_BITS = 8
LENGTH_BITS = (3, 4, 8, 16)
# Size in bits of a run's record in which the length has the largest size.
RECORD_BITS = 1 + 2 + LENGTH_BITS[-1] + VALUE_BITS
LONGEST = 2 ** LENGTH_BITS[-1]


def encode_brush(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return the stream of a mask, as a list of bytes (0 to 255).

    Args:
        mask: shape (H, W), bool. True becomes four values of 255, and False four values of 0.
    """
    flat = mask.ravel()
    borders = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], borders])
    lengths = 4 * np.diff(np.append(starts, flat.size))
    # A run that is too long becomes several records, the last of which has the rest.
    counts = -(-lengths // LONGEST)
    pieces = np.full(counts.sum(), LONGEST)
    pieces[np.cumsum(counts) - 1] = lengths - (counts - 1) * LONGEST
    values = np.repeat(flat[starts] * 255, counts)
    head = [(4 * flat.size, 32), (VALUE_BITS - 1, 5), *((size - 1, 4) for size in LENGTH_BITS)]
    header = [number >> place & 1 for number, size in head for place in reversed(range(size))]
    records = (0b111 << LENGTH_BITS[-1] | pieces - 1) << VALUE_BITS | values
    bits = records[:, None] >> np.arange(RECORD_BITS - 1, -1, -1) & 1
    stream = np.concatenate([np.array(header), bits.ravel()]).astype(np.uint8)
    return [int(byte) for byte in np.packbits(stream)]


def decode_brush(stream: Sequence[int], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the mask of a stream, (H, W), bool: the pixels whose opacity (0 to 255) is above 127.

    Opacities between 0 and 255 occur at the soft edges of Label Studio's brush and eraser.

    Args:
        stream: bytes (0 to 255) of the stream.
        height, width: size of the mask in pixels.

    Raises:
        ValueError: the stream is cut off or damaged, or does not have ``height * width`` pixels.
    """
    try:
        octets = np.array(stream, np.uint8)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            "the brush stroke is not a list of bytes, which are whole numbers from 0 to 255"
        ) from error
    place = 0

    def take(size: int, count: int = 1) -> npt.NDArray[np.int64]:
        """Return the next ``count`` numbers, each of ``size`` bits."""
        nonlocal place
        end = place + size * count
        if end > 8 * octets.size:
            raise ValueError(
                f"the brush stroke is cut off: its {octets.size} bytes end before its last pixel"
            )
        bits = np.unpackbits(octets[place // 8 : -(-end // 8)])[place % 8 :][: size * count]
        place = end
        return bits.reshape(count, size) @ (1 << np.arange(size - 1, -1, -1, dtype=np.int64))

    total = int(take(32)[0])
    if total != 4 * height * width:
        raise ValueError(
            f"the brush stroke has {total} values; expected four for each of {width} x {height} "
            "pixels"
        )
    word = int(take(5)[0]) + 1
    sizes = (take(4, 4) + 1).tolist()
    parts: list[npt.NDArray[np.int64]] = []
    done = 0
    while done < total:
        run = take(1)[0]
        length = int(take(sizes[take(2)[0]])[0]) + 1
        parts.append(np.repeat(take(word), length) if run else take(word, length))
        done += length
    if done != total:
        raise ValueError(
            f"the brush stroke is damaged: its records hold {done} values; expected {total}"
        )
    return np.concatenate(parts).reshape(height, width, 4)[..., 3] > 127
