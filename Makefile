# The two commands: `make demo` and `make test`. Both set up the environment in .venv first, if need be.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
LOWEST := .venv-lowest
PUBLISHED := mnist quick

.PHONY: demo test test-new-draws test-lowest test-browser crashtest lint bench results $(PUBLISHED:%=results-%) $(PUBLISHED:%=tune-%) clean

demo: $(VENV)/.installed ## run the quick suite on embedded images, time its networks, and print its tables
	$(BIN)/distillbench run quick --out runs/quick
	$(BIN)/distillbench time runs/quick --backends eager,onnxruntime --precisions float32 --batch 1
	$(BIN)/distillbench table runs/quick

test: lint ## lint, types, tests
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder tests

test-new-draws: $(VENV)/.installed ## the property-based tests with new examples; what fails is printed with the blob that draws it again
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --hypothesis-profile new-draws -m hypothesis tests

test-lowest: $(LOWEST)/.installed ## the commands with the lowest versions that pyproject.toml allows
	PATH="$(CURDIR)/$(LOWEST)/bin:$$PATH" bash tests/lowest.sh

crashtest: $(VENV)/.installed ## kill runs of the smoke suite a hundred times, here and on Ray, and compare what comes of them with an undisturbed run
	PYTHONPATH=tests $(BIN)/python tests/simulations/crashes.py smoke --kills 100
	PYTHONPATH=tests $(BIN)/python tests/simulations/crashes.py smoke --kills 100 --executor ray

test-browser: $(VENV)/.installed ## the page in headless Chromium, which must be installed
	$(BIN)/pip install --quiet --editable '.[dev,browser]'
	$(BIN)/pytest tests/browser

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed ## timings in three launches, each a process: what `distillbench compare` needs of a side
	rm -f runs/bench/launch-*.json
	mkdir -p runs/bench
	for n in 1 2 3; do \
	  $(BIN)/pytest --quiet --benchmark-enable --benchmark-only --benchmark-json runs/bench/launch-$$n.json tests/benchmarks || exit 1; \
	done
	@echo "Keep this folder (cp -r runs/bench runs/bench-before), change the code, make bench again, and then:"
	@echo "$(BIN)/distillbench compare runs/bench-before runs/bench"

results: $(VENV)/.installed ## rebuild what is made of the records: tables, the board, the generated blocks of README and docs
	$(BIN)/python results/publish.py

$(PUBLISHED:%=results-%): results-%: $(VENV)/.installed ## results-mnist: make the records, figures and times of a suite again, and all that is made of them; commit the code first
	mkdir -p runs
	$(BIN)/distillbench run $* --out results/$* --cache runs/cache --overwrite > runs/$*.txt
	mv runs/$*.txt results/$*/run.txt
	$(BIN)/distillbench time results/$* --cache runs/cache --overwrite > runs/$*.time.txt
	$(BIN)/python results/publish.py

$(PUBLISHED:%=tune-%): tune-%: $(VENV)/.installed ## tune-mnist: choose a suite's hyperparameters on the validation split; trials are kept, run again to go on
	$(BIN)/distillbench tune $* --out runs/$*.tune --cache runs/cache --output bench/suites/$*.tuned.toml
	cp runs/$*.tune/trials.md runs/$*.tune/trials.csv results/$*/
	$(BIN)/python results/publish.py

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev,mnist]'
	touch $@

$(LOWEST)/.installed: pyproject.toml
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable .
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) runs build *.egg-info .mypy_cache .ruff_cache .hypothesis
