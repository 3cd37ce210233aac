"""Coverage-guided fuzzing with Atheris, of the package and of its C++ at once; started by run.sh."""

import sys

# No editable finder: only the tree whose engine was built for this.
sys.meta_path = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("_editable")]
tree, tests, *arguments = sys.argv[1:]
sys.path[:0] = [tree, tests]

import atheris  # noqa: E402

with atheris.instrument_imports(include=["inner_distance_gpu"]):
    from fuzz import binding, target

assert binding.native.module.__file__.startswith(tree), binding.native.module.__file__
atheris.Setup([sys.argv[0], *arguments], target.one_input)
atheris.Fuzz()
