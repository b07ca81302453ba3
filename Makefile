# Two commands do everything on a fresh machine with Python 3.11 and git:
#   make evaluate   closed-loop evaluation on the pocket simulator, with a report (installs no torch)
#   make test       every check and every test
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
UV     := VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet
ARGS   ?=
SOURCES ?=
MAPS   ?=
BENCH2DRIVE ?=
# Both commands start hundreds of processes; where nothing keeps bytecode each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE
# These tests compile nearly all that the simulator compiles, for every process that comes after them.
COMPILING := tests/bench/test_pocket_bench.py tests/contract/test_pocket_coverage.py

.PHONY: evaluate test test-ray evaluators check style types layers unused kernels bytecode bench soak lock clean

evaluate: $(VENV)/.evaluate
	$(BIN)/bicameral evaluate --output runs/evaluate --resume $(ARGS)

# Tests wait for servers more than half of the time, so three runners keep two processors busy. In the
# order of the folders, files of few long tests come first and files of many short ones fill the end.
test: $(VENV)/.test
	scripts/install_system_packages.sh chromium dataset-fashion-mnist gcc libc6-dev redis-server
	$(MAKE) --no-print-directory --jobs 2 --output-sync kernels bytecode check
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(COMPILING:%=--ignore=%) $(ARGS)

# Replicas behind Ray Serve and an evaluation on Ray, in an environment of their own: Ray is 500 MB.
test-ray: $(VENV)-ray/.cluster
	scripts/install_system_packages.sh redis-server
	$(VENV)-ray/bin/pytest tests/cluster $(ARGS)

# scenario_runner and leaderboard from SOURCES, a folder or an address (docs/official-evaluators.md), in an
# environment of their own; MAPS names folders with Town01, Town04 and Town10HD besides CARLA_ROOT,
# BENCH2DRIVE the address of Bench2Drive.
evaluators: $(VENV)/.evaluate
	test -d $(VENV)-evaluators || $(PYTHON) -m venv $(VENV)-evaluators
	scripts/set_up_evaluators.sh "$(SOURCES)" $(VENV)-evaluators $(BIN)/uv "$(BENCH2DRIVE)"
	EVALUATOR_SOURCES=$(VENV)-evaluators/checkouts EVALUATOR_PYTHON=$(VENV)-evaluators/bin/python \
	    EVALUATOR_MAPS="$(MAPS)" $(BIN)/python -m studies official_evaluators $(ARGS)

check: style types layers unused

style: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.test
	$(BIN)/mypy

layers: $(VENV)/.test
	$(BIN)/lint-imports

unused: $(VENV)/.test
	$(BIN)/vulture

kernels: $(VENV)/.test
	$(BIN)/pytest --quiet $(COMPILING)

# One process compiles the tests and what they import; otherwise each of the three runners does it
# at the same time. What cannot be imported is told by the run itself.
bytecode: $(VENV)/.test
	$(BIN)/pytest --collect-only --quiet >/dev/null || true

bench: $(VENV)/.test
	$(BIN)/bicameral bench sim
	$(BIN)/bicameral bench serve
	$(BIN)/python -m studies serve_overload

soak: $(VENV)/.test
	$(BIN)/python -m studies serve_soak $(ARGS)

# Exact versions with hashes, usable by plain pip; the files name no package index.
lock: $(VENV)/.uv
	$(BIN)/uv pip compile pyproject.toml --extra sim --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-index-url --quiet -o requirements/evaluate.txt
	$(BIN)/uv pip compile pyproject.toml --extra sim --extra server --extra grpc --extra export --extra redis --extra tracing --extra nvidia \
	    --group dev --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-index-url --quiet -o requirements/test.txt
	$(BIN)/uv pip compile --group foreign --no-deps --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-index-url --quiet -o requirements/foreign.txt
	$(BIN)/uv pip compile --group tensorrt --no-deps --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-index-url --quiet -o requirements/tensorrt.txt
	$(BIN)/uv pip compile pyproject.toml --extra server --extra grpc --extra redis --extra tracing --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-index-url --quiet -o requirements/server.txt
	$(BIN)/uv pip compile --group build --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-index-url --quiet -o requirements/build.txt
	$(BIN)/uv pip compile pyproject.toml --extra sim --extra server --extra redis --extra cluster --group cluster \
	    --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-index-url --quiet -o requirements/cluster.txt

$(VENV)/.uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	touch $@

$(VENV)/.evaluate: $(VENV)/.uv requirements/evaluate.txt pyproject.toml
	$(UV) --require-hashes -r requirements/evaluate.txt
	$(UV) --no-deps -e .
	touch $@

# torch stays outside the lock, so that no other target can pull it, and so does what only trains.
$(VENV)/.test: $(VENV)/.uv requirements/test.txt requirements/foreign.txt requirements/tensorrt.txt pyproject.toml
	$(UV) --require-hashes -r requirements/test.txt
	$(UV) --no-deps --require-hashes -r requirements/foreign.txt
	$(UV) --no-deps --require-hashes -r requirements/tensorrt.txt
	$(BIN)/python -m pip install --quiet torch==2.13.0 snntorch==1.0.0
	$(UV) --no-deps -e .
	touch $@ $(VENV)/.evaluate

$(VENV)-ray/.cluster: $(VENV)/.uv requirements/cluster.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)-ray
	VIRTUAL_ENV=$(VENV)-ray $(BIN)/uv pip install --quiet --require-hashes -r requirements/cluster.txt
	VIRTUAL_ENV=$(VENV)-ray $(BIN)/uv pip install --quiet --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-ray $(VENV)-evaluators build *.egg-info
