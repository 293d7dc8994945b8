# Shared by the scripts in this folder: `. scripts/lib.sh`. Works as root or not, on a fresh machine.
# shellcheck shell=bash disable=SC2034
#
# What is missing is installed once: Debian packages by apt-get (through sudo when not root), cargo tools by
# `cargo install --locked`. What cannot be installed is named, with the command that would do it.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
me=$(basename -- "$0")
script=$(cd -- "$(dirname -- "$0")" && pwd)/$me
# A rustup that was installed a minute ago is not in this shell's PATH yet.
case ":$PATH:" in
*":${CARGO_HOME:-$HOME/.cargo}/bin:"*) ;;
*) PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin ;;
esac

NEXTEST_VERSION=0.9.143
DENY_VERSION=0.20.2
SKIPPED=77

say() { printf '%s\n' "$*"; }
skip() { printf 'SKIP: %s\n' "$*"; return "$SKIPPED"; }
fail() { printf '\n%s: %s\n' "$me" "$*" >&2; exit 1; }

# The comment at the head of the script.
show_help() { sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$script"; }

# --- What must be there ------------------------------------------------------------------------------

# need_command COMMAND PACKAGE...: the command, from these Debian packages if it is missing.
need_command() {
    local command=$1
    shift
    command -v "$command" > /dev/null || install_packages "$@"
    command -v "$command" > /dev/null || fail "there is no $command, though $* is installed"
}

need_softhsm() { need_command softhsm2-util softhsm2; }

# A C compiler and make: SQLite and AWS-LC are built from source.
need_compiler() { need_command cc build-essential; }

install_packages() {
    local as_root=() log
    command -v apt-get > /dev/null ||
        fail "please install with your system's package manager, then try again (Debian's names): $*"
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo > /dev/null ||
            fail "please run as root, then try again: apt-get install --yes $*"
        as_root=(sudo)
        # Without a terminal nobody can type a password.
        [[ -t 0 ]] || as_root=(sudo --non-interactive)
    fi
    as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes)
    say "   installing $* ..."
    log=$(mktemp)
    # A fresh image has no package lists.
    if ! "${as_root[@]}" install --no-install-recommends "$@" > "$log" 2>&1 &&
        ! { "${as_root[@]}" update && "${as_root[@]}" install --no-install-recommends "$@"; } > "$log" 2>&1
    then
        tail -n 15 "$log" >&2
        rm -f "$log"
        fail "apt-get could not install $*; its words are above"
    fi
    rm -f "$log"
}

# Rust as Cargo.toml's rust-version asks for, or newer.
need_rust() {
    local wanted found how="install it from https://rustup.rs, or run: rustup update stable"
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    command -v cargo > /dev/null && command -v rustc > /dev/null ||
        fail "Rust $wanted or newer is needed, and there is none: $how"
    found=$(rustc --version | sed -n 's/^rustc \([0-9.]*\).*/\1/p')
    [[ $(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1) == "$wanted" ]] ||
        fail "Rust $wanted or newer is needed; this is $found: $how"
    RUST_FOUND=$found
}

# need_component COMMAND COMPONENT: a part of the toolchain that minimal installations lack.
need_component() {
    cargo "$1" --version > /dev/null 2>&1 && return
    command -v rustup > /dev/null || fail "cargo $1 is missing: install your distribution's package for it"
    rustup component add "$2"
}

# need_cargo_tool NAME VERSION: the command `cargo NAME`, any version if one is there.
need_cargo_tool() {
    cargo "$1" --version > /dev/null 2>&1 && return
    say "   installing cargo-$1 $2 (some minutes) ..."
    # Built to be there soon, not to be fast.
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_DEBUG=0 cargo install --quiet --locked "cargo-$1" --version "$2" ||
        fail "cargo install cargo-$1 --version $2 failed; its words are above"
}

# --- Suites, and the table at the end ----------------------------------------------------------------

suite_names=()
suite_results=()
suite_seconds=()

# suite NAME COMMAND...: runs it, notes the outcome and the time. Status 77 means skipped.
suite() {
    local name=$1 began=$SECONDS status result
    shift
    printf '\n== %s\n' "$name"
    # A subshell in which a failing command ends the suite; in `if` or `||` it would not.
    set +e
    (set -e; "$@")
    status=$?
    set -e
    case $status in
    0) result=ok ;;
    "$SKIPPED") result=skipped ;;
    *) result=FAILED ;;
    esac
    suite_names+=("$name")
    suite_results+=("$result")
    suite_seconds+=($((SECONDS - began)))
}

# The table; status 1 if a suite failed.
suite_table() {
    local index failed=0 total=0
    printf '\n%-18s %-8s %s\n' "$1" result minutes
    for index in "${!suite_names[@]}"; do
        total=$((total + suite_seconds[index]))
        [[ ${suite_results[index]} != FAILED ]] || failed=1
        printf '%-18s %-8s %s\n' "${suite_names[index]}" "${suite_results[index]}" "$(minutes "${suite_seconds[index]}")"
    done
    printf '%-18s %-8s %s\n' total '' "$(minutes "$total")"
    return "$failed"
}

minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }
