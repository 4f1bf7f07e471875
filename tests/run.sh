#!/usr/bin/env bash
# Everything that must hold before a change is taken in: builds by both compilers, checkers, all tests, sanitizers, the
# quickstart. Ends with ctest's summary of the release build; the exit code is not 0 if any step failed.
set -uo pipefail

usage() {
  cat <<'USAGE'
Usage: tests/run.sh [--fast | --nightly]

--fast     the release build, its tests and the checks of the tree (layers, sizes, format, scripts, manual)
--nightly  also the sanitizers over the other suites, every call of the crash loops, and the benches
Logs of the steps lie in build/logs.
USAGE
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
mode=full
case ${1:-} in
  "") ;;
  --fast) mode=fast ;;
  --nightly) mode=nightly && export ASR_NIGHTLY=1 ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
esac

# One compiler cache for all build folders and clones.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
logs=$root/build/logs
mkdir -p "$logs"
rm -f "$logs"/*.log
table=() failed=()

# step NAME COMMAND...: runs it with its output in a log, says how long it took, shows the end of the log if it failed.
step() {
  local name=$1 start=$SECONDS log state=ok
  shift
  log=$logs/${name//[^a-z0-9]/-}.log
  printf '==> %-28s ' "$name"
  if ! "$@" >"$log" 2>&1 </dev/null; then
    state=FAILED
    failed+=("$name")
  fi
  printf '%-6s %5d s\n' "$state" $((SECONDS - start))
  table+=("$(printf '%-28s %-6s %5d s' "$name" "$state" $((SECONDS - start)))")
  if [ $state = FAILED ]; then
    show_failures "$log"
    echo "--- the end of $log:"
    tail -n 40 "$log"
    echo "---"
    return 1
  fi
}

# What the first tests that failed have said, of a log of ctest's.
show_failures() {
  awk '/\*\*\*(Failed|Timeout|Exception)/ { tests++; lines = 0 }
    tests > 0 && tests <= 6 && lines++ < 30 { print substr($0, 1, 300) }
    / Test +#[0-9]+: .*Passed/ { lines = 30 }' "$1"
}

build() {
  local preset=$1
  shift
  cmake --preset "$preset" && cmake --build --preset "$preset" -j"$(nproc)" "$@"
}

run_ctest() {
  local preset=$1
  shift
  ctest --preset "$preset" -j"$(nproc)" "$@"
}

# The suites in which memory and threads are worked hardest; nightly all. Loops that damage bytes of an image, and most
# calls of the crash loops, have one thread: there a race detector finds nothing new, ten times slower.
sanitize() {
  local preset=$1 skip=()
  if [ "$preset" = tsan ]; then
    skip=(-E '^unit\.([A-Za-z]*DamageTest|BootDiskTest\.RandomTables)')
    [ $mode = nightly ] || local -x ASR_FEW_CALLS=1
  fi
  if [ $mode = nightly ]; then
    step "build $preset" build "$preset" && step "tests $preset" run_ctest "$preset" -LE docs "${skip[@]}"
    return
  fi
  step "build $preset" build "$preset" --target unit_tests conformance_tests crash_tests &&
    step "tests $preset" run_ctest "$preset" -L '^(unit|conformance|crash)$' "${skip[@]}"
}

# Over the product; headers are checked where they are included.
tidy() {
  run-clang-tidy -quiet -p build/clang -j "$(nproc)" "^$root/(cli|core|storage)/"
}

# Each parser in turn, from its seeds; what broke it is left in build/fuzz.
fuzz() {
  local fuzzer format seconds=20 new_inputs status=0
  [ "$mode" = nightly ] && seconds=60
  for fuzzer in build/fuzz/tests/*_fuzz; do
    format=$(basename "$fuzzer" _fuzz)
    new_inputs=$(mktemp -d)
    "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=65536 -dict="tests/fuzz/$format.dict" \
      -artifact_prefix="build/fuzz/$format-" -print_final_stats=1 "$new_inputs" "tests/fuzz/corpus/$format" || status=1
    rm -rf "$new_inputs"
  done
  return "$status"
}

install_into_temporary_prefix() {
  local prefix status
  prefix=$(mktemp -d)
  cmake --install build/release --prefix "$prefix" && "$prefix/bin/asr" --version
  status=$?
  rm -rf "$prefix"
  return "$status"
}

# The first words of what failed, of a log of ctest's: they stand near the end, where all look first.
first_words() {
  awk '/\*\*\*(Failed|Timeout|Exception)/ { print substr($0, 1, 120) }
    /: Failure$/ { lines = 5 }
    lines > 0 && shown < 60 { lines--; shown++; print "    " substr($0, 1, 200) }' "$1"
}

# The last lines of the run, and of its log, are ctest's own.
finish() {
  local row
  echo
  for row in "${table[@]}"; do echo "$row"; done
  if [ ${#failed[@]} -gt 0 ]; then
    echo
    echo "FAILED STEPS: $(printf '%s; ' "${failed[@]}" | sed 's/; $//')"
    for row in "${failed[@]}"; do first_words "$logs/${row//[^a-z0-9]/-}.log"; done
  fi
  echo
  sed -n '/% tests passed/,$p' "$logs/tests-release.log" 2>/dev/null
  [ ${#failed[@]} = 0 ]
  exit
}

step "install packages" cmake/install-deps.sh test || finish
step "build release" build release || finish
step "tests release" run_ctest release
step "install" install_into_temporary_prefix
[ $mode = fast ] && finish
step "package" tests/package/deb_test.sh build/release
step "build clang" build clang && step "clang-tidy" tidy
sanitize asan
sanitize tsan
step "build fuzz" build fuzz --target fuzzers && step "fuzz" fuzz
step "quickstart" cli/quickstart.sh
[ $mode = nightly ] && step "benches" tests/bench/run.sh && step "benches on azure" tests/bench/azure.sh &&
  step "benches on live VMs" tests/bench/live.sh
finish
