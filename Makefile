# Every target uses the virtual environment .venv and makes it first when it is missing or stale.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
BUILT  := $(VENV)/.kernels
SOURCES := setup.py $(wildcard toolchain/snnc/engine/kernels/*)
OUT    := out
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo lint type test equivalence nightly golden bench kernels sanitize ci clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

setup: $(BUILT)  ## make .venv with every extra, lava-nc included

# torch goes first and alone: an unpinned torch would pull another build. lava-nc declares python<3.11 and numpy<2 but
# runs beyond both with the shim in backends/snnc_loihi/compat.py, hence --no-deps --ignore-requires-python.
# The other frameworks declare torchvision, samna or nir<=1.0.4, which none of what we capture needs and which do not
# live together; without their dependencies they do.
FRAMEWORKS := spikingjelly norse sinabs nirtorch loguru pbr snn-mlir
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python lava-nc==0.10.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps $(FRAMEWORKS)
	@touch $(STAMP) $(BUILT)

# The set-up has compiled the kernels; whoever changes or fetches sources gets them compiled again.
$(BUILT): $(SOURCES) | $(STAMP)
	@test -e $@ && test -z "$$(find $(SOURCES) -newer $@)" || { $(BIN)/python setup.py --quiet build_ext --inplace && touch $@; }

demo: $(BUILT)  ## compile the digits network for Loihi and SpiNNaker and validate it on held-out digits
	@mkdir -p $(OUT)
	$(BIN)/python models/digits_mlp.py --export $(OUT)
	$(BIN)/snnc compile models/digits_mlp.py --target loihi1 --target spinnaker1 -o $(OUT)/digits_mlp
	$(BIN)/snnc validate $(OUT)/digits_mlp --data $(OUT)/digits_mlp_held_out.npz --html $(OUT)/digits_mlp.html

lint: $(STAMP)  ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

test: $(BUILT)  ## every test; prints what is skipped and why
	$(BIN)/pytest -n 2

equivalence: $(BUILT)  ## the ladder only: rungs 1 to 5
	$(BIN)/pytest tests/equivalence

nightly: $(BUILT)  ## many random nets on SpiNNaker's release programs, all recordings, many damaged files; other ones each time
	SNNC_NIGHTLY=1 $(BIN)/pytest tests/equivalence/test_spinnaker_binary_random.py
	SNNC_NIGHTLY=1 $(BIN)/pytest tests/equivalence/test_rung5_spinnaker_delays.py
	$(BIN)/pytest tests/equivalence/nightly_nir_recorded.py
	SNNC_NIGHTLY=1 $(BIN)/pytest -n 0 tests/unit/conversion/test_conversion_mnist.py
	SNNC_NIGHTLY=1 $(BIN)/pytest -s -n 0 tests/unit/formats/test_fuzzed_readers.py

golden: $(BUILT)  ## rung 6 only: vectors from other people's code
	$(BIN)/pytest tests/golden

bench: $(BUILT)  ## the fast executor and every other one against what others would run, as ratios
	$(BIN)/python benchmarks/engine.py $(BENCH)
	$(BIN)/python benchmarks/executors.py

ci: lint type test sanitize demo  ## what continuous integration runs

kernels: $(STAMP)  ## compile the engine's kernels again, in place
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $(BUILT)

# The sanitizers' own library has to be there before Python; Python itself leaks by design.
SANITIZED := build/sanitize/snnc/engine/_kernels.so
sanitize: $(BUILT)  ## the engine's tests, random networks too, under the address and undefined-behaviour sanitizers
	$(BIN)/python setup.py --quiet build_ext --sanitize --build-lib build/sanitize --build-temp build/sanitize/objects
	LD_PRELOAD=$$($${CC:-gcc} -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 SNNC_KERNELS=$(CURDIR)/$(SANITIZED) \
		$(BIN)/pytest -n 2 tests/unit/engine tests/equivalence/test_rung4_engine.py

clean:  ## remove everything that is made
	rm -rf $(VENV) $(OUT) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
