# make image               set up what is needed, make a picture and say where it lies
# make image PROMPT="..."  the same of your own words
# make test                set up what is needed and run every check
#
# The first call installs torch: about 200 MB without an NVIDIA GPU, 3 GB with one. To choose where torch comes
# from, set TORCH_INDEX to an index such as https://download.pytorch.org/whl/cpu, or to nothing for PyPI.

PROMPT ?= a cat wearing sunglasses on a beach
export PROMPT

# The first Python that is new enough: macOS calls an old one python3.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

BIN := .venv/bin
SETUP := tools/environment.py pyproject.toml constraints.txt

.PHONY: image test python clean

image: .venv/ready
	@$(BIN)/darkroom generate -- "$$PROMPT"

test: .venv/ready-to-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadgroup

.venv/ready: $(SETUP) | python
	@$(PYTHON) tools/environment.py .venv
	@touch $@

.venv/ready-to-test: $(SETUP) | python
	@$(PYTHON) tools/environment.py .venv dev
	@touch $@ .venv/ready

python:
	@test -n "$(PYTHON)" || { echo "Darkroom needs Python 3.11 or newer; install it, or say make PYTHON=/path/to/it." >&2; exit 1; }

clean:
	rm -rf .venv
