#!/usr/bin/env bash
# Packs what a machine needs that has a GPU but no package registry, in pieces that can be carried one by one.
#   tests/gpu/pack.sh [--model FP32.onnx [--int8 INT8.onnx] --clip CLIP_OF_720P --labelled DATASET]
# makes .gpu/NN-part/data (TensorRT, each below 48 MiB), .gpu/wheels/*.whl and .gpu/material; what is there is kept.
# Wants mvn, zstd, unzip, this project with its extra dev in `python3`, and a python3.12 (or PYTHON=) to build pycuda.
# Then, on the other machine, in a copy of this repository with one piece of .gpu after the other:
#   tests/gpu/machine.sh keep       once for each piece
#   tests/gpu/machine.sh test       sets up, then the tests
#   tests/gpu/machine.sh bench      sets up, then measures; again where it was cut off
set -euo pipefail
cd "$(dirname "$0")/../.."
target=.gpu tensorrt=10.15-1.5.13 bindings=10.15.1.29 version=3.12 python=${PYTHON:-python3.12}
mkdir -p "$target/wheels"
work=$(mktemp -d) ; trap 'rm -rf "$work"' EXIT

libraries() { # TensorRT's libraries are in no wheel, but in a Maven package
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
        -Dartifact=org.bytedeco:tensorrt:$tensorrt:jar:linux-x86_64-redist -DoutputDirectory="$work/jar"
    unzip -q -o -j "$work"/jar/*.jar 'org/bytedeco/tensorrt/linux-x86_64/lib*' -x '*_vc_plugin*' -d "$work/lib"
    tar -c -C "$work/lib" . | zstd -q -T0 -12 --long=27 -o "$work/tensorrt.tar.zst"
    split -b 48M -d "$work/tensorrt.tar.zst" "$work/piece."
    for piece in "$work"/piece.*; do
        mkdir -p "$target/${piece##*.}-part" ; mv "$piece" "$target/${piece##*.}-part/data"
    done
}

wheels() { # one platform after the other, as pip matches them exactly
    local platforms=()
    for number in 28 27 17 24 31 34; do platforms+=(--platform "manylinux_2_${number}_x86_64"); done
    python3 -m pip download -q --no-deps --only-binary=:all: --python-version $version --implementation cp \
        "${platforms[@]}" --platform manylinux2014_x86_64 -d "$target/wheels" \
        tensorrt_cu13_bindings==$bindings nvidia-nvimgcodec-cu13 nvidia-nvjpeg zstandard simplejpeg orjson \
        pydantic pydantic-core annotated-types typing-inspection pycocotools kafka-python mako pytools platformdirs siphash24
}

pycuda() { # its source is all there is; headers are in wheels, and libcuda comes with the driver
    "$python" -m venv "$work/venv"
    "$work/venv/bin/pip" install -q numpy setuptools wheel nvidia-cuda-runtime nvidia-cuda-crt nvidia-cuda-profiler-api
    python3 -m pip download -q --no-deps --no-binary pycuda -d "$work/source" pycuda
    tar -x -C "$work/source" -f "$work"/source/pycuda-*.tar.gz
    echo | gcc -shared -Wl,-soname,libcuda.so.1 -x c - -o "$work/libcuda.so"
    cat > "$(echo "$work"/source/pycuda-*/)siteconf.py" <<END
USE_SHIPPED_BOOST = True
CUDA_INC_DIR = ["$(echo "$work"/venv/lib/python*/site-packages/nvidia/cu13/include)"]
CUDA_ENABLE_GL = CUDA_ENABLE_CURAND = CUDA_TRACE = False
CUDADRV_LIB_DIR, CUDADRV_LIBNAME = ["$work"], ["cuda"]
CUDART_LIB_DIR, CUDART_LIBNAME = [], []
CXXFLAGS, LDFLAGS = ["-O1", "-g0", "-w"], []
END
    # An empty library is dropped by linkers that keep only what is used.
    LDFLAGS=-Wl,--no-as-needed "$work/venv/bin/pip" wheel -q --no-build-isolation --no-deps -w "$target/wheels" "$work"/source/pycuda-*/
}

grep -qxF /.gpu/ .git/info/exclude || echo /.gpu/ >> .git/info/exclude
[ -d "$target/00-part" ] || libraries
ls "$target"/wheels/tensorrt_*.whl > /dev/null 2>&1 || wheels
ls "$target"/wheels/pycuda-*.whl > /dev/null 2>&1 || pycuda
[ $# -eq 0 ] && [ -d "$target/material" ] || python3 -m tests.gpu.material "$@" "$target/material"
du -sm "$target"/*
