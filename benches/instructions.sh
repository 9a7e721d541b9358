#!/usr/bin/env bash
# Instructions for one update of an entity in the arena, of both coders: unlike time, the same on a busy machine.
#
# valgrind counts a run of N repetitions and one of 2 N. The difference is N repetitions and nothing else: the states are
# made in both. What is counted is what the bench `coders` times.
#
#   bash benches/instructions.sh [N]
set -euo pipefail
cd "$(dirname "$0")/.."
repetitions=${1:-4}

if ! command -v valgrind >/dev/null; then
    echo "skipped: instructions are counted by valgrind, which is not installed"
    exit 0
fi
cargo build --quiet --release --locked -p tickwire-benches --example instructions
program=$(realpath "${CARGO_TARGET_DIR:-target}")/release/examples/instructions
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Instructions of a whole run; `updates` is set to those of one repetition.
count() {
    updates=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file="$log" "$program" "$@")
    collected=$(sed -n 's/.*Collected : *\([0-9]*\).*/\1/p' "$log")
    [ -n "$collected" ] || { echo "valgrind told no count:"; cat "$log"; exit 1; }
}

printf '%-8s %-8s %24s\n' coder work "instructions/update"
for coder in dense fast; do
    for work in encode decode; do
        count "$work" "$coder" "$repetitions"
        once=$collected
        count "$work" "$coder" $((2 * repetitions))
        printf '%-8s %-8s %24s\n' "$coder" "$work" $(((collected - once) / (repetitions * updates)))
    done
done
