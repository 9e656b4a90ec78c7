#!/usr/bin/env bash
# Packs what a machine needs that has a GPU but no package registry, in pieces that can be carried one by one.
#   tests/gpu/pack.sh [--model FP32.onnx [--int8 INT8.onnx] --clip CLIP_OF_720P --labelled DATASET]
# makes .gpu/NN-part/data (TensorRT, each below 48 MiB), .gpu/wheels and .gpu/material; what is there is kept.
# Without arguments the material is drawn streets with the shipped models; with them it is made of those.
# Wants mvn, zstd, unzip, g++, this project with its extra dev in .venv or `python3`, and a Python 3.12 (or PYTHON=a path)
# to build pycuda. Call it again when the code has changed: that takes a second, and writes down the commit that figures
# name. Then, on the other machine, in a copy of this repository with one piece of .gpu after the other:
#   tests/gpu/machine.sh keep       once for each piece
#   tests/gpu/machine.sh first      what matters most, in one call; see there for the others
set -euo pipefail
cd "$(dirname "$0")/../.."
target=.gpu tensorrt=10.15-1.5.13 bindings=10.15.1.29 version=3.12
here=python3 ; [ ! -x .venv/bin/python ] || here=.venv/bin/python
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

# What machine.sh needs and tests/tensorrt/test_without_packages.py doesn't expect there. No av: it is too large.
carried=(
    tensorrt_cu13_bindings==$bindings nvidia-nvimgcodec-cu13 nvidia-nvjpeg zstandard simplejpeg orjson
    "pydantic>=2.10" annotated-types typing-inspection "typing-extensions>=4.16" pycocotools kafka-python redis
    mako pytools platformdirs siphash24 "setuptools>=77"
)

wheels() { # one platform after the other, as pip matches them exactly
    local platforms=() core
    for number in 28 27 17 24 31 34; do platforms+=(--platform "manylinux_2_${number}_x86_64"); done
    fetch() {
        "$here" -m pip download -q --no-deps --only-binary=:all: --python-version $version --implementation cp \
            "${platforms[@]}" --platform manylinux2014_x86_64 -d "$target/wheels" "$@"
    }
    fetch "${carried[@]}"
    # pydantic takes only the core that it names.
    core=$(unzip -p "$target"/wheels/pydantic-*.whl '*/METADATA' | sed -n 's/^Requires-Dist: \(pydantic-core==[0-9.]*\).*/\1/p')
    fetch "$core"
}

works() { # whether that is a Python of the version that is wanted; a pyenv shim may be there and start nothing
    [ "$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = $version ]
}

interpreter() { # PYTHON, else the first that works
    local each
    for each in ${PYTHON:-python$version "$HOME"/.pyenv/versions/$version*/bin/python /usr/bin/python$version}; do
        if works "$each"; then echo "$each" ; return ; fi
    done
    echo "pycuda has to be built by Python $version, and ${PYTHON:-python$version} doesn't start one: set PYTHON=" \
        "to the path of one that has its headers" >&2
    return 1
}

pycuda() { # its source is all there is; headers are in wheels, and libcuda comes with the driver
    "$1" -m venv "$work/venv"
    "$work/venv/bin/pip" install -q numpy setuptools wheel nvidia-cuda-runtime nvidia-cuda-crt nvidia-cuda-profiler-api
    "$here" -m pip download -q --no-deps --no-binary pycuda -d "$work/source" pycuda
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

exclude=$(git rev-parse --git-path info/exclude)
grep -qsxF /.gpu/ "$exclude" || echo /.gpu/ >> "$exclude"
# The repository itself doesn't travel.
git describe --always --abbrev=40 --dirty --exclude '*' > "$target/wheels/commit"
ls "$target"/wheels/pycuda-*.whl > /dev/null 2>&1 || python=$(interpreter)
[ -d "$target/00-part" ] || libraries
ls "$target"/wheels/tensorrt_*.whl > /dev/null 2>&1 || wheels
ls "$target"/wheels/pycuda-*.whl > /dev/null 2>&1 || pycuda "$python"
[ $# -eq 0 ] && [ -d "$target/material" ] || "$here" -m tests.gpu.material "$@" "$target/material"
du -sm "$target"/*
