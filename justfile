# A thin list of names; whatever needs an `if` stands in xtask.

# What is there.
default:
    @just --list

# While you write: style, lints and house rules, without tests.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo xtask tidy

# Everything that must pass.
test:
    cargo xtask test

# The rules of the house.
tidy:
    cargo xtask tidy

# Each control switched off in turn, and which test notices.
mutants *words:
    cargo xtask mutants {{words}}

# Every parser with inputs that it has not met, ten minutes each.
fuzz *words:
    cargo xtask fuzz {{words}}

# Private PostgreSQL and MariaDB servers until Ctrl-C.
servers:
    cargo xtask servers

# A whole migration on this machine, all parties as processes.
demo:
    cargo run --release -- demo

# What carrying records costs (passage), or sealing and destroying (vault), into docs/bench; on a quiet machine.
bench what="passage" *words:
    cargo xtask bench {{what}} {{words}}
