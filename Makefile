# Two commands to know: `make demo` sets up and runs the main job, `make test` sets up and runs all tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test bench lint docs clean

$(BIN)/imframework: setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable .
	@touch $@

demo: $(BIN)/imframework
	$(BIN)/python examples/demo.py

$(BIN)/tox:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet tox

test: $(BIN)/tox
	$(BIN)/tox run

bench: $(BIN)/imframework
	$(BIN)/python tests/bench/run.py

lint: $(BIN)/tox
	$(BIN)/tox run -e lint,type

docs: $(BIN)/imframework
	$(BIN)/python -m imframework.settings.reference

clean:
	rm -rf $(VENV) .tox .demo .bench build dist *.egg-info
