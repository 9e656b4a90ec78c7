#!/usr/bin/env bash
# Sets up a machine with a GPU and no package registry from what tests/gpu/pack.sh has made, and runs things there.
#   keep    moves the pieces that have come with this copy of the repository to $HOLD
#   setup   TensorRT, the wheels and this project, once; the others do it themselves
#   first   gpu, then bench, what matters most first, all within $BUDGET seconds (540) from the call on
#   gpu     tests/gpu, which nothing else can run
#   test    tests/kernels and tests/tensorrt, which need no GPU, against the packages of this machine
#   bench   tests/bench/gpu on the material, into build/bench-gpu.json; goes on where it was cut off
# Each ends within $BUDGET seconds; what was found until then is in $OUT, if that is set.
set -euo pipefail
cd "$(dirname "$0")/../.."
hold=${HOLD:-/opt/streamer-gpu} site=$hold/site budget=${BUDGET:-540}

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
    # The tests leave engines to the measurements.
    export STREAMER_TENSORRT__CACHE=$hold/engines MEASURED_COMMIT
    MEASURED_COMMIT=$(cat "$hold/wheels/commit")
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
    echo "set up after $SECONDS s"
}

give() {
    if [ -n "${OUT:-}" ]; then cp -f "$hold"/*.log "$hold"/bench-gpu.json "$OUT/" 2>/dev/null || true; fi
}

within() { # within SECONDS COMMAND...: no longer than that, nor than the budget; a GPU that hangs hears no SIGTERM
    local limit=$1 left=$((budget - SECONDS - 10)) ; shift
    if [ $left -lt "$limit" ]; then limit=$left ; fi
    if [ "$limit" -le 0 ]; then echo "no time left for: $*" ; return 124 ; fi
    timeout --kill-after 5 "$limit" "$@"
}

tests() { # tests NAME SECONDS ARGUMENTS...; other versions of packages warn of other things, which is no failure here
    local log=$hold/$1.log limit=$2 ; shift 2
    REQUIRE_GPU=1 within "$limit" python3 -m pytest -q -W default --durations 5 --maxfail 20 \
        --timeout-method thread --continue-on-collection-errors -p no:cacheprovider "$@" 2>&1 | tee "$log"
}

bench() { # again for what is missing: a part that breaks the GPU's context breaks those behind it in that process
    local status=0 time
    for _ in 1 2 3; do
        status=0 time=$((budget - SECONDS - 40))
        within "$budget" python3 -m tests.bench.gpu "$hold/material" --output "$hold/bench-gpu.json" --budget $time \
            --longest 240 "$@" 2>&1 | tee -a "$hold/bench.log" || status=$?
        if [ "$(tail -n 1 "$hold/bench.log")" = "all measured" ] || [ $((budget - SECONDS)) -lt 60 ]; then break ; fi
    done
    mkdir -p build ; cp -f "$hold/bench-gpu.json" build/ || true
    return $status
}

trap give EXIT
status=0
case ${1:-} in
keep) keep ;;
setup) setup ;;
first)
    setup
    tests gpu 200 tests/gpu || status=$?
    give
    bench --seconds 1.5 "${@:2}" || status=$?
    ;;
gpu) setup ; tests gpu "$budget" tests/gpu || status=$? ;;
test) setup ; tests test "$budget" -n "${JOBS:-8}" tests/kernels tests/tensorrt || status=$? ;;
bench) setup ; bench "${@:2}" || status=$? ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0" ; exit 2 ;;
esac
exit $status
