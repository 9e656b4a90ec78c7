# Video in, detections out. `make` alone lists what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCE ?= synthetic:
TESTS ?= tests
# So many tests at a time: they wait for servers and time-outs more than they compute.
JOBS ?= 2
# What the tests are run with. With `train` in it (PyTorch, 5 GB) those of training run too, with `rtx` (TensorRT-RTX,
# 0.3 GB) those that build engines.
EXTRAS ?= local,openvino,dev
# One per choice of them, or what is added to them would not be installed.
TESTED := $(VENV)/.tested-$(EXTRAS)
# Debian's names of the camera that the tests read from, of a Redis that can do TLS, and of a compiler that the kernels
# for GPUs are tried with on a CPU.
TEST_SERVICES := python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base \
	gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav redis-server g++

.DEFAULT_GOAL := help
.PHONY: help install demo test lint fuzz bench chaos soak test-gpu bench-gpu services clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## the set-up alone: packages into .venv, Kafka into your cache folder

demo: $(VENV)/.installed ## everything on this machine, live: SOURCE=clip.mp4,rtsp://camera/live MODEL=detector.onnx
	@$(BIN)/streamer demo "$(SOURCE)" $(if $(MODEL),--model "$(MODEL)")

test: $(TESTED) lint ## the set-up, then every test; TESTS=tests/unit for some of them
	@/usr/bin/python3 -c "import gi; gi.require_version('GstRtspServer', '1.0')" 2>/dev/null \
		|| echo "no RTSP server for the tests, those are skipped: 'make services' installs one (Debian, as root)"
	@lacks=; \
	$(BIN)/python -c "import torch, matplotlib, onnx, pycocotools" >/dev/null 2>&1 \
		|| { lacks=$$lacks,train; echo "no PyTorch or what goes with it, so tests of training are skipped"; }; \
	$(BIN)/python -c "import tensorrt_rtx_bindings, cuda.bindings, nvidia.nvimgcodec, pynvml, fsspec" >/dev/null 2>&1 \
		|| { lacks=$$lacks,rtx; echo "no TensorRT-RTX or what goes with it, so tests that build engines are skipped"; }; \
	test -z "$$lacks" || echo "to run them too: make test EXTRAS=$(EXTRAS)$$lacks"
	$(BIN)/pytest --numprocesses $(JOBS) --dist worksteal $(TESTS)

lint: $(TESTED) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(TESTED) ## what reads bytes from outside, given bytes that are nearly right: MINUTES=10
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10)

bench: $(TESTED) ## what the service costs over the plainest loop: CLIP=clip.mp4 MODEL=detector.onnx
	@test -n "$(CLIP)" -a -n "$(MODEL)" || { echo "which clip and detector? make bench CLIP=clip.mp4 MODEL=detector.onnx"; exit 2; }
	$(BIN)/python -m tests.bench --clip "$(CLIP)" --model "$(MODEL)"

chaos: $(TESTED) ## kill -9 and SIGSTOP at random: FAULTS=100; all that can break: MINUTES=30; into build/chaos.json: SEED=1
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(FAULTS),--faults $(FAULTS))

soak: $(TESTED) ## many streams and faults for long: does anything grow? into build/soak.json: MINUTES=60
	$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),60) --seed $(or $(SEED),1)

test-gpu: $(VENV)/.gpu ## what only a machine with an NVIDIA GPU can test
	REQUIRE_GPU=1 $(BIN)/pytest -W default tests/gpu tests/kernels tests/tensorrt

bench-gpu: $(VENV)/.gpu ## TensorRT measured, into build/bench-gpu.json, on drawn streets or MATERIAL=folder (tests/gpu/material.py)
	@test -n "$(MATERIAL)" -o -e build/gpu-material/labelled/val.json || $(BIN)/python -m tests.gpu.material build/gpu-material
	$(BIN)/python -m tests.bench.gpu "$(or $(MATERIAL),build/gpu-material)"

# RUNLEVEL=1: Debian then starts no service of its own.
services: ## what the tests use beyond packages: an RTSP server and a Redis with TLS (Debian, as root)
	@command -v apt-get >/dev/null || { echo "not a Debian: install GStreamer's RTSP server and redis-server yourself"; exit 1; }
	@dpkg -s $(TEST_SERVICES) >/dev/null 2>&1 || { apt-get update -q && \
		RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(TEST_SERVICES); }

clean: ## stops the one-machine stack and removes what make has made here
	@test ! -x $(BIN)/streamer || $(BIN)/streamer down
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# A stamp is newer than what it was made from, so a second call has nothing to do.
$(VENV)/.created:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no venv in $(PYTHON): on Debian, apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[local]'
	$(BIN)/streamer up --fetch
	@touch $@

$(TESTED): $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

$(VENV)/.gpu: $(TESTED)
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[local,gpu,dev]'
	@touch $@
