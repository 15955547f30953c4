# Needs make and one of Python 3.11 to 3.13 with venv; no ROS distribution.
PYTHON = python3
VENV = .venv
COLCON = .colcon
SOURCES = robot_rl launch test benchmarks docs setup.py

# A sourced ROS distribution would mix its rclpy and middleware with those of the venv.
unexport PYTHONPATH AMENT_PREFIX_PATH RMW_IMPLEMENTATION

.PHONY: help setup test bench demo demo-demonstrations build docs lint clean

help:
	@echo 'make setup   create $(VENV) with ROS 2 (rclpy), torch and mujoco from wheels'
	@echo 'make demo    from a simulator to a policy on a perturbed twin; ends with a report'
	@echo 'make demo-demonstrations   the same from recordings of a scripted person'
	@echo 'make test    colcon build, then all tests, style included'
	@echo 'make bench   speed beside floors and peers, 10 minutes on two idle cores; one table'
	@echo 'make build   colcon build into $(COLCON), then try the installed package'
	@echo 'make docs    contract reference, then the pages in site/; needs no network'
	@echo 'make lint    style only'
	@echo 'make clean   remove $(VENV), $(COLCON), site and caches; recordings in runs/ stay'
	@echo 'PYTHON=/path/to/python3.12 chooses the interpreter of a new $(VENV).'

setup: $(VENV)/.ready

# Torch comes first and alone: it is by far the largest, and a failure there should say so.
$(VENV)/.ready: setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo '$(PYTHON): expected Python 3.11, 3.12 or 3.13;' \
	    'choose one with make setup PYTHON=/path/to/python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo '$(PYTHON): expected the modules venv and ensurepip, found none;' \
	    'on Debian and Ubuntu: sudo apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q -c constraints.txt setuptools torch
	$(VENV)/bin/python -m pip install -q -c constraints.txt --use-pep517 --no-build-isolation \
	  -e '.[ros,test,docs]'
	@touch $@

# A file's tests stay in one process, in order; each process has its own ROS domain.
test: build
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile \
	  --no-loadscope-reorder

# Peers of the learner: $(VENV)/bin/python -m pip install '.[bench]', or those of PEERS=python.
bench: setup
	$(VENV)/bin/python benchmarks/bench.py $(if $(PEERS),--peers $(PEERS))

demo: setup
	$(VENV)/bin/robot_rl demo

demo-demonstrations: setup
	$(VENV)/bin/robot_rl demo-demonstrations

# The clean shell shows what a user gets who sources nothing but the installed workspace.
build: setup
	$(VENV)/bin/colcon --log-base $(COLCON)/log build --paths . \
	  --build-base $(COLCON)/build --install-base $(COLCON)/install
	@cd / && env -i HOME="$$HOME" PATH="$(abspath $(VENV))/bin:/usr/bin:/bin" bash -euc '\
	  set +u; source "$(abspath $(COLCON))/install/setup.bash"; set -u; \
	  prefix="$(abspath $(COLCON))/install/robot_rl"; \
	  python -c "import sys, robot_rl; \
	    sys.exit(not robot_rl.__file__.startswith(sys.argv[1]))" "$$prefix" || { \
	      echo "robot_rl was not imported from $$prefix" >&2; exit 1; }; \
	  "$$prefix/lib/robot_rl/robot_rl" check puck_push'

docs: setup
	$(VENV)/bin/python docs/generate.py
	$(VENV)/bin/mkdocs build --strict --quiet
	@echo 'site/index.html'

lint: setup
	$(VENV)/bin/python -m flake8 $(wildcard $(SOURCES))

clean:
	rm -rf $(VENV) $(COLCON) site *.egg-info .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
