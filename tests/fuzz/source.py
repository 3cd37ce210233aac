"""From bytes to the arguments of a call: arrays of every kind, keywords, and odd values."""

import math
import struct

import numpy as np

DTYPES = ["?", "u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">i4", "<i8", ">u8"]
DTYPES += ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]
SIZES = [1.0, 2.0, 4.0, 40.0, 0.5, 3.3, 5.24, 0.1, 1e-9, 7e6]
ODD = [None, "x", 0, -1, True, math.nan, math.inf, -math.inf, (), 2**70, 10**400, b"u", 1j]
MOST = 3000  # voxels that `reference` is asked for


class Source:
    """Reads a byte string from its start; behind its end all bytes are 0."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, count):
        part = self.data[self.at : self.at + count]
        self.at += count
        return part + bytes(count - len(part))

    def below(self, n):
        return self.bytes(1)[0] % n

    def choice(self, options):
        return options[self.below(len(options))]

    def rarely(self):
        return self.bytes(1)[0] >= 250

    def integer(self):
        return struct.unpack("<q", self.bytes(8))[0]

    def double(self):
        return struct.unpack("<d", self.bytes(8))[0]

    def number(self, usual):
        """One of the usual ones, or any double."""
        return self.double() if self.rarely() else self.choice(usual)

    def keyword(self, *usual):
        """One of the usual values, or something odd."""
        return self.choice(ODD) if self.rarely() else self.choice(usual)

    def shape(self, dims):
        spatial = [1 + self.below(8) for _ in range(dims)]
        if self.below(4) == 0:
            spatial[self.below(dims)] = 1 + self.choice([self.below(80), self.below(250)])
        lead = [1 + self.below(3) for _ in range(self.choice([0, 0, 0, 1, 2]))]
        if self.rarely():
            lead.append(0)
        while math.prod(lead + spatial) > MOST:
            spatial[spatial.index(max(spatial))] //= 2
        return (*lead, *spatial)

    def values(self, shape, dtype):
        """Labels or mask: any bits, small numbers from the input, or random ones."""
        count, dtype = math.prod(shape), np.dtype(dtype)
        mode = self.below(6)
        if mode == 0:
            raw = (self.bytes(min(count * dtype.itemsize, 64)) * count)[: count * dtype.itemsize]
            return np.frombuffer(raw, dtype if dtype.kind != "b" else "u1").astype(dtype).reshape(shape).copy()
        if mode in (1, 2):
            few = np.frombuffer(self.bytes(min(count, 64)), np.uint8) % (2 if mode == 1 else 5)
            small = np.resize(few, count)
        elif mode == 3:
            small = np.full(count, 1 + self.below(3))
            small[self.integer() % count if count else slice(0)] = 0
        else:
            generator = np.random.default_rng(self.below(256))
            small = generator.integers(0, 4, count) * (generator.random(count) < self.below(256) / 255)
        values = small.astype(dtype).reshape(shape)
        if dtype.kind == "f" and self.below(4) == 0:
            values[values == 3] = np.nan
        if dtype.kind in "if" and self.below(4) == 0:
            values = (-values.astype(dtype.newbyteorder("="))).astype(dtype)
        return values

    def laid_out(self, values):
        """The same values, in another memory layout."""
        layout = self.below(7)
        if layout == 0:
            return np.asfortranarray(values)
        if layout == 1:
            return np.flip(np.flip(values).copy())
        if layout == 2:
            big = np.zeros([2 * n + 1 for n in values.shape], values.dtype)
            part = big[tuple(slice(1, 1 + 2 * n, 2) for n in values.shape)]
            part[...] = values
            return part
        if layout == 3:
            raw = np.zeros(values.nbytes + 1, np.uint8)[1:].view(values.dtype).reshape(values.shape)
            raw[...] = values
            raw.flags.writeable = False
            return raw
        if layout == 4 and values.ndim:
            return np.broadcast_to(values[:1], values.shape)
        return values

    def array(self, shape, dtypes=DTYPES):
        return self.laid_out(self.values(shape, self.choice(dtypes)))
