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

# Private PostgreSQL and MariaDB servers until Ctrl-C.
servers:
    cargo xtask servers

# A whole migration on this machine, all parties as processes.
demo:
    cargo run --release -- demo
