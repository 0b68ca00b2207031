#!/bin/sh
# Check the harness on a machine with a GPU, in at most ten minutes and without a network:
#   sh tests/gpu/check.sh [FOLDER]
# FOLDER (default: gpu-check) gets gpu.jsonl, a line for each part, and the results of the suites.
# torch with CUDA must be installed. WHEELS may name a folder of wheels for what else is missing.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
if [ -n "${WHEELS:-}" ]; then
    site=$(mktemp -d)
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl
    PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
PYTHONPATH="$PWD:$PWD/plugins${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
export PYTHONPATH HF_HUB_OFFLINE PYTHONUNBUFFERED
exec "$python" tests/gpu/check.py "${1:-gpu-check}"
