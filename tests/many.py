"""Engine `cpu` against `reference` on as many random cases as asked for: not part of the suite.

python tests/many.py 100000 [seed]
"""

import sys
import time

import numpy as np
from cases import DTYPES, SIZES, case_of
from oracle import assert_target

from inner_distance_gpu import inner_distance


def random_case(seed):
    """As `cases.cases`, drawn from one generator."""
    rng = np.random.default_rng(seed)
    dims = int(rng.integers(2, 4))
    longest = int(rng.choice([3, 9, 16] if dims == 3 else [5, 30, 200], p=[0.4, 0.4, 0.2]))
    leading = [(), (), (2,), (2, 1)][int(rng.integers(4))]
    sizes = tuple(float(size) for size in rng.choice(SIZES[: int(rng.choice([1, 5, 7, 8]))], dims))
    if rng.random() < 0.5:
        sizes = (float(rng.choice(SIZES)),) * dims
    elif rng.random() < 0.2:
        sizes = tuple(float(size) for size in rng.uniform(0.1, 10, dims))
    return case_of(
        seed,
        leading + tuple(int(n) for n in rng.integers(1, longest + 1, dims)),
        str(rng.choice(DTYPES)),
        int(rng.integers(5)),
        sizes,
        [None, 0.02, 0.1, 0.5, 3.0, 1e3][int(rng.integers(6))],
        str(rng.choice(["zero", "signed", "times_label"])),
        str(rng.choice(["extent", "saturate"])),
        str(rng.choice(["", "", "nan", "label"])),
        float(rng.choice([0.0, -1.0, np.nan, np.inf])),
    )


def main():
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    failures, start = [], time.time()
    for seed in range(first, first + count):
        labels, keywords = random_case(seed)
        result = inner_distance(labels, engine="cpu", threads=1 + seed % 3, **keywords)
        expected = inner_distance(labels, engine="reference", **keywords)
        try:
            times_label = keywords["background"] == "times_label"
            assert_target(result, expected, labels if times_label else None, keywords["scale"])
        except AssertionError as error:
            failures.append(seed)
            print(f"seed {seed}: {labels.shape} {labels.dtype} {keywords}: {error}", flush=True)
    print(f"{count} cases from seed {first}, {len(failures)} failures, {time.time() - start:.0f} s: {failures[:20]}")
    raise SystemExit(bool(failures))


if __name__ == "__main__":
    main()
