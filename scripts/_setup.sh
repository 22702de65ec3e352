# Sourced by the programs beside it, never run. Finds a Python, makes .venv complete, and goes to the top of the tree.
#
#   set_up run    what the gateway itself needs (requirements.lock)
#   set_up dev    what its checks and tests need (requirements-dev.lock)
#
# The work is done by _environment.py; here is only what must run before any Python is known to be there.

set -euo pipefail
# Where the person stands: a program that takes a folder as argument means it from there.
caller_dir=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# The same bytes and the same times on every machine.
export LC_ALL=C.UTF-8 TZ=UTC PYTHONUTF8=1

# Prints the first Python that is new enough and can make virtual environments, or says in one sentence what is missing.
find_python() {
  local candidate found='' without_venv=''
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    "$candidate" -c '' 2>/dev/null || continue
    if ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      found=${found:-$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
    elif ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
      without_venv=${without_venv:-$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
    else
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  if [ -n "$without_venv" ]; then
    echo "Python $without_venv is here without its venv module: install the package python$without_venv-venv" \
      "(Debian, Ubuntu: apt-get install python$without_venv-venv) and start again." >&2
  else
    found=${found:+only Python $found}
  echo "Entente needs Python 3.11 or newer; ${found:-none} was found." \
      "Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name it: PYTHON=/path/to/python3 $0" >&2
  fi
  return 1
}

set_up() {
  # An environment that works keeps its Python, whatever else PATH offers today.
  local python=.venv/bin/python
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || python=$(find_python) || exit 1
  "$python" scripts/_environment.py "$1" || exit 1
}

# Puts the folders of the tests into memory, where there is room for them: thousands of tests then wait for no disk.
# What must outlive a power cut is tried on a file system of its own. The path is short, because sockets stand in it.
in_memory=()
tests_in_memory() {
  local free
  free=$(df --output=avail --block-size=1M /dev/shm 2>/dev/null) || return 0
  if [ "${free##*[!0-9]}" -gt 4096 ]; then
    memory_folder=$(mktemp -d /dev/shm/entente.XXXXXX)
    in_memory=(--basetemp "$memory_folder/t")
    trap 'rm -rf "$memory_folder"' EXIT
  fi
}

failed_steps=()

# step NAME COMMAND…   runs a command in silence, prints one line, and shows its output when it fails.
# The program goes on, so that one run names everything that is wrong; `finish` ends it.
step() {
  local name=$1 started=$EPOCHREALTIME output status=0
  shift
  output=$("$@" 2>&1) || status=$?
  if [ "$status" -eq 0 ]; then
    printf 'ok    %-22s %5.1f s\n' "$name" "$(seconds_since "$started")"
  else
    printf 'FAIL  %-22s %5.1f s   %s\n%s\n\n' "$name" "$(seconds_since "$started")" "$*" "$output"
    failed_steps+=("$name")
  fi
}

seconds_since() {
  awk -v from="${1/,/.}" -v to="${EPOCHREALTIME/,/.}" 'BEGIN { print to - from }'
}

# The checks that read the code without running it.
static_checks() {
  step 'format' .venv/bin/ruff format --check --output-format concise --quiet .
  step 'lint' .venv/bin/ruff check --output-format concise --quiet .
  step 'types' .venv/bin/mypy --no-error-summary
  step 'imports' .venv/bin/lint-imports --no-logo
}

# Names the steps that failed, if any, and is then false.
finish() {
  if [ "${#failed_steps[@]}" -gt 0 ]; then
    echo "FAILED: ${failed_steps[*]}"
    return 1
  fi
}
