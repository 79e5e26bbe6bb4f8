# Every target works alone, first, on a fresh machine: `install` brings what is missing.

.PHONY: help install demo test attack fuzz soak test-vm lint format proto docs bench clean

help:  ## Show this.
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 12

install:  ## Install what is missing and build .venv.
	@scripts/install.sh

demo: install  ## Start a server, compile and run a program through gRPC, show the outcome.
	@scripts/demo.sh

test: install  ## Run the tests, as an ordinary user. LANES="unit sandbox …" chooses.
	@scripts/test.sh $(LANES)

attack: install  ## Run every hostile program in every policy and on every rung; print the table.
	@scripts/test.sh escape -- -q --no-header -r f

fuzz: install  ## Fuzz for SECONDS=600: parsers, and sandboxes by random system calls.
	@scripts/fuzz.sh $(SECONDS)

soak: install  ## Run JOBS=100000 mixed jobs at full load, SECONDS=7200 at most; report what grew.
	.venv/bin/python benchmarks/soak.py --jobs $(or $(JOBS),100000) --seconds $(or $(SECONDS),7200)

test-vm:  ## Boot stock Debian guests and run the acceptance set there. Root builds their images.
	@scripts/install.sh e2fsprogs mmdebstrap qemu-system-x86
	.venv/bin/python tests/vm/lane.py

lint: install  ## Run every static check.
	@scripts/lint.sh

format: install  ## Let ruff format the code and mend what it can.
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format .

proto: install  ## Generate sandboxd/v1 from protos/.
	.venv/bin/python scripts/generate_protos.py

docs: install  ## Generate the pages of docs/ that follow from the code.
	.venv/bin/python scripts/generate_docs.py

bench:  ## Measure every figure, beside whatever peers are there. BENCH="--quick" and more.
	@scripts/install.sh bubblewrap
	.venv/bin/python benchmarks/run.py $(BENCH)

clean:  ## Remove .venv and every cache.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
