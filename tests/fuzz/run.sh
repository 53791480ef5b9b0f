#!/usr/bin/env bash
# Fuzzes for SECONDS each, at a low priority: the C frame parser, the instruction decoder, the decoders of the wire
# and of the front's frames under atheris, and the decoder of the wire against a model under hypothesis. Each begins
# with its corpus and with streams that the codecs make (seeds.py). Inputs that reach something new stay in corpus/;
# one that fails stays in build/fuzz/failed/ and ends the run.
# shellcheck source=../stack/lib.sh
. "$(dirname "$0")/../stack/lib.sh"
cd "$root"

seconds=${1:?usage: run.sh SECONDS}
made=build/fuzz
export PYTHONPATH=$root

tests/stack/packages.sh fuzz
.venv/bin/python -c 'import atheris' 2>/dev/null ||
  watched "Installing the Python package atheris into .venv" .venv/bin/python -m pip install -q \
    --disable-pip-version-check --progress-bar off -e ".[fuzz]" ||
  fail "pip could not install atheris: see its message above; it has packages for Python 3.11 to 3.13."
make -s -C tests/fuzz
.venv/bin/python -m tests.fuzz.seeds "$made/found"

# An input that was kept is never taken out again: it may stand there because it once failed.
fuzz() { # NAME BYTES COMMAND...
  local name=$1 corpus=tests/fuzz/corpus/$1 found=$made/found/$1 log=$made/$1.log size=$2
  shift 2
  mkdir -p "$corpus" "$found" "$made/failed/$name"
  say "Fuzzing $name for $seconds s (the log: $log)"
  nice -n 10 "$@" -max_total_time="$seconds" -max_len="$size" -timeout=10 -use_value_profile=1 -print_final_stats=1 \
    -artifact_prefix="$made/failed/$name/" "$found" "$corpus" >"$log" 2>&1 || {
    tail -n 40 "$log" >&2
    fail "$name failed: the input is in $made/failed/$name. Mend what is wrong and put it into $corpus."
  }
  grep -E '^(#.*DONE|stat::number_of_executed_units|stat::average_exec_per_sec)' "$log" >&2
  "$@" -merge=1 -max_len="$size" "$corpus" "$found" >>"$log" 2>&1 || fail "$name: merging what was found failed: see $log."
  say "$corpus has $(find "$corpus" -type f | wc -l) inputs"
}

fuzz frame 512 "$made/frame"
fuzz decode 15 "$made/decode"
fuzz wire 2600 .venv/bin/python -m tests.fuzz.under_atheris wire
fuzz front 2600 .venv/bin/python -m tests.fuzz.under_atheris front
say "Fuzzing the Python decoder against a model for $seconds s"
nice -n 10 .venv/bin/python -m tests.fuzz.wire_hypothesis "$seconds"
