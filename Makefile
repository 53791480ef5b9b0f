# make demo   boots the nested stack and gives you the guest's console
# make cast   records that, as docs/demo.cast
# make test   sets everything up and runs every test
# make check  static checks: style, types, layers, C warnings
# make bench  measures (ONLY=group for one group)
# make man   builds the manual pages into build/man
# make soak   runs the tests on a busy machine, and goes on where it was stopped (MINUTES=30, ONLY=vm, SOAK_JOBS=2)
# make real   boots Debian's installer, memtest86+ and a menu of syslinux's: our lines leave their screens as they were
# make leak   what L1 can find of a secret on L2's console
# make attack  what strangers and users can do to an honest person's echo (ONLY=name for one attack)
# make fuzz   fuzzes what reads untrusted bytes (SECONDS=600 each)
# make sanitize  runs the plugin under AddressSanitizer and ThreadSanitizer
# make faults  1,000 runs over a file system that fails (RUNS=1000 RANDOM_SEED=1 JOBS=4)
# make clean  removes everything that was built or downloaded

PY := .venv/bin/python
SCRIPTS := $(wildcard tests/stack/*.sh) $(wildcard tests/stack/guests/*.sh) $(wildcard tests/fuzz/*.sh)
SECONDS ?= 600

SOAK_JOBS ?= 1

.PHONY: all setup packages venv plugin images man demo cast test check bench soak real leak attack fuzz sanitize faults clean

all: setup

setup: packages venv plugin images

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

man: packages $(patsubst docs/man/%.md,build/man/%,$(wildcard docs/man/*.md))

build/man/%: docs/man/%.md
	@mkdir -p build/man
	go-md2man -in $< -out $@

demo: setup
	@$(PY) -m tests.stack.demo

cast: setup
	@$(PY) -m tests.stack.cast

# Two files of tests at a time: most of their time they wait for guests and clients. WORKERS=1: one after the other.
WORKERS ?= 2
test: setup
	@$(PY) -m pytest -n auto --maxprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

check: venv plugin
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	.venv/bin/clang-format --dry-run -Werror native/include/*.h native/core/*.[ch] native/tcg/*.[ch] tests/adversary/payload/*.[ch] \
		tests/native/*.c tests/leak/*.c tests/fuzz/*.[ch] tests/stack/*.c tests/contract/guest/*.c tests/faults/*.c
	shellcheck -x $(SCRIPTS) .ci/run

bench: setup
	@tests/stack/packages.sh bench
	@$(PY) -m tests.bench $(ONLY)

soak: setup
	@tests/stack/packages.sh soak
	@$(PY) -m tests.stack.soak $(if $(MINUTES),--minutes $(MINUTES)) --jobs $(SOAK_JOBS) $(ONLY)

# Named so that `make test` passes them over.
real: setup
	@tests/stack/packages.sh real
	@tests/stack/real.sh
	@$(PY) -m pytest -o python_files='real_*.py' --durations=0 tests/real

leak: setup
	@$(MAKE) --no-print-directory -s -C tests/leak
	@$(PY) -m tests.leak

attack: setup
	@ONLY=$(ONLY) $(PY) -m tests.attack

fuzz: packages venv
	@tests/fuzz/run.sh $(SECONDS)

sanitize: setup
	@$(PY) -m tests.stack.sanitize

RUNS ?= 1000
RANDOM_SEED ?= 1
JOBS ?= 4
faults: setup
	@$(PY) -m tests.faults $(RUNS) $(RANDOM_SEED) $(JOBS)

clean:
	rm -rf .venv .cache build *.egg-info
	@$(MAKE) --no-print-directory -s -C native/tcg clean
	@$(MAKE) --no-print-directory -s -C tests/leak clean
