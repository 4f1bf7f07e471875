#!/usr/bin/env bash
# The guest that boots in the tests: build_guest.sh OUT.raw [--uefi] [--text MESSAGE] [--files DIR]. It is the quickstart's own.
exec "$(dirname "${BASH_SOURCE[0]}")/../../cli/guest-image.sh" build "$@"
