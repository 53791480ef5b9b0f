PY := .venv/bin/python
SCRIPTS := $(wildcard tests/real/*.sh) $(wildcard tests/stack/*.sh) $(wildcard tests/stack/guests/*.sh) $(wildcard tests/fuzz/*.sh)
SECONDS ?= 600
SOAK_JOBS ?= 1

.PHONY: help setup packages venv plugin images man demo cast test unit asyncssh qmp check check-c kernel-object bench soak real leak attack \
	fuzz sanitize faults clean

.DEFAULT_GOAL := help

# A target with `##` behind it is told by `make help`; CONTRIBUTING.md has the same list (tests/unit/test_contributing.py).
help: ## prints this list, and does nothing else
	@echo "Times are those of two processors with nothing else to do, once everything is set up."
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

setup: packages venv plugin images ## installs Debian's packages (with sudo), QEMU and the guests that tests boot: minutes, once

# Each script does nothing when what it makes is there and was made from what is there now.
packages:
	@tests/stack/packages.sh

venv: packages
	@tests/stack/venv.sh

plugin: packages
	@$(MAKE) --no-print-directory -s -C native/tcg

images: packages
	@tests/stack/fetch-qemu.sh
	@tests/stack/build-guests.sh

man: packages $(patsubst docs/man/%.md,build/man/%,$(wildcard docs/man/*.md)) ## builds the manual pages into build/man: a second

build/man/%: docs/man/%.md
	@mkdir -p build/man
	go-md2man -in $< -out $@

demo: setup ## boots the nested stack and gives you the guest's console: 20 s
	@$(PY) -m tests.stack.demo

cast: setup ## records that, as docs/demo.cast: 1 minute
	@$(PY) -m tests.stack.cast

# Two files of tests at a time: most of their time they wait for guests and clients. WORKERS=1: one after the other.
WORKERS ?= 2
test: setup ## sets everything up and runs every test: 30 minutes (WORKERS=1: one file after the other)
	@$(PY) -m pytest -n auto --maxprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# A virtual environment suffices: neither root nor Debian's packages. What a test needs besides is left out, and said.
unit: ## runs the tests that need nothing but Python, on any Linux, as any user: 2 minutes
	@tests/stack/venv.sh
	@$(PY) -m pytest -n auto --maxprocesses $(WORKERS) --dist loadfile --without-missing -m "not vm" tests/unit

asyncssh: venv ## runs the SSH tests with each asyncssh that is allowed: minutes (QUICK=1: the unit tests only)
	@tests/stack/versions.sh asyncssh $(if $(QUICK),quick)

qmp: venv ## runs the tests of QEMU's monitor with each qemu.qmp that is allowed: minutes (QUICK=1: half a minute)
	@tests/stack/versions.sh qemu.qmp $(if $(QUICK),quick)

check: venv plugin ## static checks: style, types, layers, C warnings: half a minute
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	.venv/bin/clang-format --dry-run -Werror native/include/*.h native/core/*.[ch] native/tcg/*.[ch] tests/adversary/payload/*.[ch] \
		tests/native/*.[ch] tests/leak/*.c tests/fuzz/*.[ch] tests/stack/*.c tests/contract/guest/*.c tests/faults/*.c
	shellcheck -x $(SCRIPTS) .ci/run

check-c: venv ## the branches that the tests of native/core take, and the same tests under sanitizers: 1 minute
	@tests/stack/check-c.sh

kernel-object: packages ## compiles native/core with the headers of Debian's kernel: 10 s
	@tests/stack/packages.sh kernel
	@tests/stack/kernel-object.sh

bench: setup ## measures: tens of minutes (ONLY=group for one group)
	@tests/stack/packages.sh bench
	@$(PY) -m tests.bench $(ONLY)

soak: setup ## runs the tests on a busy machine, goes on where it was stopped: hours (MINUTES=30 ONLY=vm SOAK_JOBS=2)
	@tests/stack/packages.sh soak
	@$(PY) -m tests.stack.soak $(if $(MINUTES),--minutes $(MINUTES)) --jobs $(SOAK_JOBS) $(ONLY)

# Its files are named so that `make test` passes them over.
real: setup ## boots Debian's installer, memtest86+, a menu of syslinux's, systemd with our unit, and Xen: 5 minutes
	@tests/stack/packages.sh real
	@tests/stack/real.sh
	@tests/stack/xen.sh
	@$(PY) -m pytest -o python_files='real_*.py' --durations=0 tests/real

leak: setup ## what L1 can find of a secret on L2's console: minutes
	@$(MAKE) --no-print-directory -s -C tests/leak
	@$(PY) -m tests.leak

attack: setup ## what strangers and users can do to an honest person's echo: 7 minutes (ONLY=name for one attack)
	@ONLY=$(ONLY) $(PY) -m tests.attack

fuzz: packages venv ## fuzzes what reads untrusted bytes: 50 minutes, 10 for each target (SECONDS=600)
	@tests/fuzz/run.sh $(SECONDS)

sanitize: setup ## runs the plugin under AddressSanitizer and ThreadSanitizer: 2 minutes
	@$(PY) -m tests.stack.sanitize

RUNS ?= 1000
RANDOM_SEED ?= 1
JOBS ?= 4
faults: setup ## 1,000 runs over a file system that fails: 13 minutes (RUNS=1000 RANDOM_SEED=1 JOBS=4)
	@$(PY) -m tests.faults $(RUNS) $(RANDOM_SEED) $(JOBS)

clean: ## removes everything that was built or downloaded: a second
	rm -rf .venv .cache build *.egg-info
	@$(MAKE) --no-print-directory -s -C native/tcg clean
	@$(MAKE) --no-print-directory -s -C tests/leak clean
