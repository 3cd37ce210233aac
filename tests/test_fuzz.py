"""Do inputs that the fuzzer once found worth keeping, and some random ones, still end in equal answers or in errors?

`make fuzz` looks for new ones, guided by coverage and watched by sanitizers; here the same target runs on the engine
that is installed, with inputs that never change.
"""

import random
from pathlib import Path

import pytest
from fuzz import target

from inner_distance_gpu import engines

pytestmark = pytest.mark.skipif(engines.available()["cpu"] is not None, reason=str(engines.available()["cpu"]))
KEPT = [bytes.fromhex(line) for line in (Path(__file__).parent / "fuzz" / "corpus.txt").read_text().split()]
RANDOM = 600


def test_kept_inputs():
    for data in KEPT:
        target.one_input(data)
    assert len(KEPT) > 100


def test_random_inputs():
    source = random.Random(0)
    for _ in range(RANDOM):
        # Bytes from 250 on ask for something odd: in most inputs nothing is.
        data = bytes(source.choices(range(256 if source.random() < 0.3 else 250), k=source.choice([20, 60, 120, 200])))
        target.one_input(data)


def test_every_target_is_called(monkeypatch):
    called = set()
    for name in ("targets", "weights", "transforms", "binding_targets", "binding_weights", "threaded"):
        monkeypatch.setattr(target, name, lambda source, name=name: called.add(name))
    for data in KEPT:
        target.one_input(data)
    assert called == {"targets", "weights", "transforms", "binding_targets", "binding_weights", "threaded"}


def test_the_oracle_notices(monkeypatch):
    """A target that is off by 1e-5, and an error that only one engine raises, are findings."""
    original = target.inner_distance

    def wrong(labels, *arguments, engine, **keywords):
        result = original(labels, *arguments, engine=engine, **keywords)
        return result * (1 + 1e-5) if engine == "cpu" else result

    def refusing(labels, *arguments, engine, **keywords):
        if engine == "cpu":
            raise ValueError("no")
        return original(labels, *arguments, engine=engine, **keywords)

    plain = bytes([0, 0]) + bytes(80)
    target.one_input(plain)
    for other in (wrong, refusing):
        monkeypatch.setattr(target, "inner_distance", other)
        found = []
        for data in [data for data in KEPT if data[:1] != b"\xff" and data[1:2] and data[1] % 5 == 0]:
            try:
                target.one_input(data)
            except AssertionError:
                found.append(data)
        assert found
