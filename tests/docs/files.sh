# Sourced by the tests of this folder: where the tree is, and which files belong to it.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1

# Files of the project that match the given patterns: tracked ones and new ones, not what .gitignore names.
project_files() {
  git -c safe.directory="$root" ls-files --cached --others --exclude-standard -- "$@" |
    while read -r file; do
      [ ! -f "$file" ] || echo "$file"
    done
}

# Prints what was found and fails if there is anything; says what was checked otherwise.
expect_none() {
  local found=$1 complaint=$2 checked=$3
  if [ -n "$found" ]; then
    printf '%s\n%s\n' "$complaint" "$found"
    exit 1
  fi
  echo "$checked"
}

# A test that finds nothing to look at proves nothing.
expect_some() {
  [ -n "$1" ] || {
    echo "No files to check: is this a clone of the project?"
    exit 1
  }
}
