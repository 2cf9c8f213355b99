# Where Go keeps what it fetches and compiles for the system tests: a folder of their own, some 25 GB after
# everything was built, which `make test-system` removes once the programs are there. To be sourced.
# shellcheck shell=bash
export GOCACHE="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/go/build"
export GOMODCACHE="${XDG_CACHE_HOME:-$HOME/.cache}/mlifecycle-tests/go/modules"
# Else nothing but `go clean` could remove it.
export GOFLAGS="${GOFLAGS-} -modcacherw"
