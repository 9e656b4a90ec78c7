#!/usr/bin/env bash
# Sets up a machine with a GPU and no package registry from what tests/gpu/pack.sh has made, and runs things there.
#   keep    moves the pieces that have come with this copy of the repository to $HOLD
#   setup   TensorRT, the wheels and this project, once; test and bench do it themselves
#   test    tests/gpu, tests/kernels and tests/tensorrt
#   bench   tests/bench/gpu on the material, into build/bench-gpu.json; goes on where it was cut off
# Each fits into ten minutes. Results are copied to $OUT, if that is set.
set -euo pipefail
cd "$(dirname "$0")/../.."
hold=${HOLD:-/opt/streamer-gpu} site=$hold/site

keep() {
    mkdir -p "$hold"
    for piece in .gpu/*; do
        rm -rf "${hold:?}/$(basename "$piece")"
        mv "$piece" "$hold/"
    done
    ls "$hold"
}

setup() {
    export PYTHONPATH=$site:$PWD LD_LIBRARY_PATH=$hold/tensorrt:${LD_LIBRARY_PATH:-} PYTHONUNBUFFERED=1
    if [ ! -e "$hold/.ready" ]; then
        python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" \
            "$hold"/wheels/*.whl
        rm -rf "$hold/tensorrt" ; mkdir -p "$hold/tensorrt"
        cat "$hold"/*-part/data | python3 -c 'import sys, zstandard
zstandard.ZstdDecompressor(max_window_size=1 << 28).copy_stream(sys.stdin.buffer, sys.stdout.buffer)' \
            | tar -x -C "$hold/tensorrt"
        # Loaded by names that only a full installation has.
        for library in nvinfer nvinfer_plugin nvonnxparser; do
            ln -sf "lib$library.so.10" "$hold/tensorrt/lib$library.so"
        done
        touch "$hold/.ready"
    fi
    # Entry points are found by what setuptools writes beside the packages.
    python3 -c 'import setuptools; setuptools.setup()' -q egg_info
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
    python3 - <<'END'
import pycuda, tensorrt_bindings
from cuda.bindings import nvrtc
print("TensorRT", tensorrt_bindings.__version__, "pycuda", pycuda.VERSION_TEXT, "NVRTC", nvrtc.nvrtcVersion()[1:])
END
}

give() {
    if [ -n "${OUT:-}" ]; then cp -f "$@" "$OUT/" 2>/dev/null || true; fi
}

case ${1:-} in
keep) keep ;;
setup) setup ;;
test)
    setup
    status=0
    STREAMER_TEST_GPU=1 timeout 500 python3 -m pytest -q --maxfail=20 -p no:cacheprovider \
        tests/gpu tests/kernels tests/tensorrt 2>&1 | tee "$hold/test.log" || status=$?
    give "$hold/test.log"
    exit $status
    ;;
bench)
    setup
    shift
    export STREAMER_TENSORRT__CACHE=$hold/engines
    status=0
    timeout 540 python3 -m tests.bench.gpu "$hold/material" --output "$hold/bench-gpu.json" "$@" 2>&1 \
        | tee -a "$hold/bench.log" || status=$?
    mkdir -p build ; cp -f "$hold/bench-gpu.json" build/ || true
    give "$hold/bench-gpu.json" "$hold/bench.log"
    exit $status
    ;;
*) sed -n '2,8s/^# \{0,1\}//p' "$0" ; exit 2 ;;
esac
