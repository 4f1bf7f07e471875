#!/usr/bin/env bash
# Everything that must hold before a change is taken in: builds by both compilers, checkers, all tests, sanitizers, the
# quickstart. Ends with ctest's summary of the release build; the exit code is not 0 if any step failed.
set -uo pipefail

usage() {
  cat <<'USAGE'
Usage: tests/run.sh [--fast | --nightly]

--fast     the release build, its tests and the checks of the tree (layers, sizes, format, scripts, manual)
--nightly  also the sanitizers over all suites but the live ones, every call of the crash loops, and the benches
Logs of the steps lie in build/logs.
USAGE
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
mode=full is_background=0
case ${1:-} in
  "") ;;
  --fast) mode=fast ;;
  --nightly) mode=nightly && export ASR_NIGHTLY=1 ;;
  --in-background) mode=$2 && is_background=1 ;; # this script of itself
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
esac

# One compiler cache for all clones.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
logs=$root/build/logs
results=$logs/results
failed=0

# step NAME COMMAND...: runs it with its output in a log, says how long it took, shows the end of the log if it failed.
step() {
  local name=$1 start=$SECONDS log state=ok
  shift
  log=$logs/${name//[^a-z0-9]/-}.log
  echo "==> $name"
  "$@" >"$log" 2>&1 </dev/null || state=FAILED
  local row
  row=$(printf '%-28s %-6s %5d s' "$name" "$state" $((SECONDS - start)))
  echo "    $row"
  echo "$row" >>"$results"
  if [ $state = FAILED ]; then
    failed=1
    show_failures "$log"
    echo "--- the end of $log:"
    tail -n 40 "$log"
    echo "---"
    return 1
  fi
}

has_ended() { grep -q "^$1 " "$results"; }

# Waits for a step of the background. False: it has failed, or the background ended before it.
has_worked() {
  until has_ended "$1"; do
    kill -0 "$background" 2>/dev/null || has_ended "$1" || return 1
    sleep 1
  done
  grep -q "^$1 *ok " "$results"
}

# What the first tests that failed have said, of a log of ctest's.
show_failures() {
  awk '/\*\*\*(Failed|Timeout|Exception)/ { tests++; lines = 0 }
    tests > 0 && tests <= 6 && lines++ < 30 { print substr($0, 1, 300) }
    / Test +#[0-9]+: .*Passed/ { lines = 30 }' "$1"
}

# A folder that another compiler has made keeps nothing of the preset but its name.
build() {
  local preset=$1
  shift
  cmake --preset "$preset" || return
  if [ "$preset" != release ] && ! grep -q '^ASR_UNITY:BOOL=TRUE$' "build/$preset/CMakeCache.txt"; then
    rm -rf "build/$preset"
    cmake --preset "$preset" || return
  fi
  cmake --build --preset "$preset" -j"$(nproc)" "$@"
}

# Of halves of processors: tests/sharing.cmake.
run_ctest() {
  local preset=$1
  shift
  ctest --preset "$preset" -j"$((2 * $(nproc)))" "$@"
}

in_background=("build asan" "build tsan" "build fuzz" "clang-tidy")

# With what tests, which wait for guests half of their time, leave over of the processors: these come last among all
# that this script starts, and as a session last among guests and daemons, which are sessions of their own.
check_in_background() {
  local name tsan=()
  [ "$mode" = nightly ] || tsan=(--target unit_tests conformance_tests crash_tests)
  chrt --idle --pid 0 $$ || renice -n 19 -p $$
  (echo 19 >/proc/self/autogroup) 2>/dev/null
  for name in "${in_background[@]}"; do
    kill -0 "$PPID" 2>/dev/null || return
    case $name in
      "build tsan") step "$name" build tsan "${tsan[@]}" ;;
      "build fuzz") step "$name" build fuzz --target fuzzers ;;
      "build asan") step "$name" build asan ;;
      *) step "$name" tidy ;;
    esac
  done
}

# The suites in which memory and threads are worked hardest, a few calls of the crash loops; nightly all. Loops that
# damage bytes of an image have one thread: there a race detector finds nothing new, ten times slower. Not with libvirt:
# the sanitizers' own xdr functions, of a library that is loaded later than they are, call nothing.
sanitize() {
  local preset=$1 suites=(-L '^(unit|conformance|crash)$') skip='^(crash|interop)\.Libvirt'
  [ "$preset" = tsan ] && skip+='|^unit\.([A-Za-z]*DamageTest|BootDiskTest\.RandomTables)'
  if [ "$mode" = nightly ]; then suites=(-LE docs); else local -x ASR_FEW_CALLS=1; fi
  has_worked "build $preset" && step "tests $preset" run_ctest "$preset" "${suites[@]}" -E "$skip"
}

# Over the product, lumps of files as they were compiled; headers are checked where they are included.
tidy() {
  run-clang-tidy -quiet -p build/asan -j "$(nproc)" \
    "^$root/(build/asan/CMakeFiles/asr_|cli|core|storage).*"
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
  cat "$results"
  if grep -q ' FAILED ' "$results"; then
    failed=1
    echo
    echo "FAILED STEPS:"
    grep ' FAILED ' "$results" | while read -r row; do
      row=${row%%  *}
      echo "  $row"
      first_words "$logs/${row//[^a-z0-9]/-}.log"
    done
  fi
  echo
  sed -n '/% tests passed/,$p' "$logs/tests-release.log" 2>/dev/null
  exit "$failed"
}

if [ $is_background = 1 ]; then
  check_in_background
  exit
fi
mkdir -p "$logs"
rm -f "$logs"/*.log
: >"$results" || exit
step "install packages" cmake/install-deps.sh test || finish
step "build release" build release || finish
if [ "$mode" != fast ]; then
  setsid "$root/tests/run.sh" --in-background "$mode" &
  background=$!
  trap 'kill -- -$background 2>/dev/null' EXIT
fi
step "tests release" run_ctest release
step "install" install_into_temporary_prefix
[ "$mode" = fast ] && finish
step "package" tests/package/deb_test.sh build/release
sanitize asan
sanitize tsan
has_worked "build fuzz" && step "fuzz" fuzz
wait "$background"
for name in "${in_background[@]}"; do
  has_ended "$name" || { failed=1 && echo "$name: not done, for what ran in the background has ended"; }
done
step "quickstart" cli/quickstart.sh
if [ "$mode" = nightly ]; then
  step "benches" tests/bench/run.sh
  step "benches on azure" tests/bench/azure.sh
  step "benches on live VMs" tests/bench/live.sh
fi
finish
