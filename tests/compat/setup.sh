#!/bin/sh
# Make .venv-compat with the real DaCapo, gunpowder, MONAI and other pipelines, and run the tests that need them.
# PYTHON names the interpreter, arguments go to pytest.
set -eu
cd "$(dirname "$0")/../.."
if [ ! -e .venv-compat/ready ]; then
    "${PYTHON:-python3}" -m venv .venv-compat
    pip=.venv-compat/bin/pip
    $pip install --quiet --constraint constraints.txt torch
    $pip install --quiet --requirement tests/compat/requirements.txt
    $pip install --quiet --no-deps --requirement tests/compat/no-deps.txt
    $pip install --quiet --no-deps --editable .
    touch .venv-compat/ready
fi
# napari brings a plugin for pytest that warns at its import, and warnings are errors here.
PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 .venv-compat/bin/pytest tests/compat tests/predictors tests/storage/test_zarr.py "$@"
