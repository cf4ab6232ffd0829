# Each target sets up .venv by itself when needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WHEEL := build/wheel
PIP := python -m pip --disable-pip-version-check -q
TORCH := "torch==2.13.0"
# What is compiled or looked up at first use and kept: CPU kernels, which take most of a minute, and fonts.
FIRST_USE := import matplotlib.font_manager; \
	from quantbench.engine.cpu.search import load_search; load_search(); \
	from quantbench.engine.cpu.build import load_kernels; load_kernels()

.PHONY: demo test test-arm wheel check format bench system-deps clean help

help:
	@echo "make demo         set up and measure the built-in model, end to end"
	@echo "make test         set up, check and run the tests"
	@echo "make test-arm     test the CPU kernels as Arm processors run them (g++-aarch64-linux-gnu, qemu-user)"
	@echo "make wheel        build the wheel, install it into an empty environment and run it there"
	@echo "make check        formatting, lint, types, layers"
	@echo "make system-deps  bubblewrap, g++ and a browser for the tests (apt, needs root)"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) install $(TORCH)
	$(BIN)/$(PIP) install -c constraints.txt -e ".[dev,gguf,bitsandbytes,torchao,hqq,lm-eval]"
	-$(BIN)/python -c "$(FIRST_USE)"
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/quantbench run

# What a user gets from `pip install`: nothing of this folder is on the path, and only what the wheel needs.
wheel:
	rm -rf $(WHEEL)
	$(PYTHON) -m venv $(WHEEL)/venv
	$(WHEEL)/venv/bin/$(PIP) install $(TORCH)
	$(WHEEL)/venv/bin/$(PIP) wheel --no-deps -w $(WHEEL) .
	$(WHEEL)/venv/bin/$(PIP) install -c constraints.txt $(WHEEL)/quantbench-*.whl
	cd $(WHEEL) && PYTHONPATH= venv/bin/quantbench run --methods fp16,int4 --limit 8 --speed-budget 1 --no-floor

check: $(STAMP)
	$(BIN)/ruff format --check src tests benchmarks training
	$(BIN)/ruff check src tests benchmarks training
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format src tests benchmarks training
	$(BIN)/ruff check --fix src tests benchmarks training

test: check
	$(BIN)/python -m pytest -n 2

# NEON alone, with the dot product, and with i8mm.
test-arm: $(STAMP)
	for features in armv8-a armv8.2-a+dotprod armv8.2-a+dotprod+i8mm; do \
	  QUANTBENCH_TEST_ARM=$$features $(BIN)/python -m pytest tests/engine/test_cpu_kernels.py \
	    tests/engine/test_cpu_prompts.py tests/weights/test_ggml_blocks.py tests/weights/test_stored_layouts.py || exit 1; \
	done

system-deps:
	@if command -v bwrap >/dev/null && command -v g++ >/dev/null && command -v chromium >/dev/null; then \
	  echo "bubblewrap, g++ and chromium are here"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -q && apt-get install -y -q --no-install-recommends bubblewrap g++ chromium; \
	else echo "install bubblewrap, g++ and chromium with your system's package manager"; fi

clean:
	rm -rf $(VENV) results dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
