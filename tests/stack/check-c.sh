#!/usr/bin/env bash
# Runs the tests of native/core twice at the same time. The first run is measured by gcov, which says how many of each
# file's branches the tests take. In the second run AddressSanitizer and UndefinedBehaviorSanitizer end a test that does
# what C does not define.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$(dirname "$0")/../.." || exit 1
enough=90 # per cent of the branches of each file
build=$PWD/build/check-c
rm -rf "$build"
mkdir -p "$build/covered" "$build/sanitized"

run() { # NAME FLAGS
  OOB_NATIVE_FOLDER=$build/$1 OOB_NATIVE_CFLAGS=$2 .venv/bin/python -m pytest -q -x -p no:cacheprovider tests/native \
    >"$build/$1.log" 2>&1
}

runtimes=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)
(LD_PRELOAD=$runtimes ASAN_OPTIONS=detect_leaks=0 run sanitized \
  "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer") &
sanitized=$!
run covered "-O0 --coverage" || {
  tail -n 40 "$build/covered.log" >&2
  fail "the tests of native/core fail with gcov: see above."
}
wait "$sanitized" || {
  tail -n 60 "$build/sanitized.log" >&2
  fail "the tests of native/core fail with sanitizers: see above."
}

cd "$build/covered" || exit 1
gcov --branch-probabilities --branch-counts half.so-*.gcda 2>/dev/null |
  awk -v enough=$enough '
    /^File / { file = $2; gsub(/\x27|.*\//, "", file); ours = $2 ~ /native\/core\/[a-z0-9_]+\.c/ }
    ours && /^Taken at least once:/ {
      n = $NF; share = $4; sub(/^once:/, "", share); sub(/%.*/, "", share)
      taken = share * n / 100; all += n; all_taken += taken
      printf "    %-16s %5.1f %% of %4d branches\n", file, share, n
      if (share + 0 < enough) failed = failed " " file
      ours = 0
    }
    END {
      if (!all) { print "==> native/core: gcov has measured no file of it"; exit 1 }
      printf "==> native/core: tests/native take %.1f %% of %d branches\n", 100 * all_taken / all, all
      if (failed) printf "==> native/core: too few branches are taken, at least %d %% are wanted of each file:%s\n", enough, failed
      exit failed != ""
    }'
