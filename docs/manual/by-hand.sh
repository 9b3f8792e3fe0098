#!/usr/bin/env bash
# One whole migration by hand: two organisations, five persons, one server, all on this machine, on synthetic records.
# What `lazaret demo` does, but for its folder of reports, step by step. Usage: by-hand.sh FOLDER [PATIENTS] [PORT]
# LAZARET names the program; every person has a folder of their own and acts from it alone.
set -euo pipefail

lazaret=${LAZARET:-lazaret}
dir=$1
patients=${2:-2000}
port=${3:-8443}
mkdir -p "$dir"
cd "$dir"

say() { printf '\n== %s\n' "$*"; }
# A text of a JSON document on standard input: field NAME, or field OBJECT.NAME for one that stands in an object.
field() {
  local within=
  case $1 in *.*) within="\"${1%.*}\":{[^{}]*" ;; esac
  sed -n "s/^.*$within\"${1##*.}\":\"\([^\"]*\)\".*$/\1/p" | grep .
}
# Acts as a person: as NAME command…
as() { local name=$1; shift; "$lazaret" --home "homes/$name" --passphrase-file "secrets/$name" "$@"; }
# Acts with an organisation's root: root NAME command…
root() { local name=$1; shift; "$lazaret" --passphrase-file "secrets/$name" "$@"; }
# Acts on the server's machine.
on_server() { "$lazaret" --passphrase-file secrets/server "$@"; }

say "The old system, and the empty new one"
"$lazaret" --quiet synth --patients "$patients" --seed 1 --out made
# What was planted in it, to be searched for at the end: planted PLACE.
planted() { tr '{' '\n' < made/sentinels.json | sed -nE "s/^.*\"place\":\"$1\".*\"value\":\"([^\"]*)\".*$/\1/p" | sort -u; }
planted '[a-z_]*' > made/everything
planted moves > made/moves

say "Passphrases: here in files, for a script; a person types theirs"
mkdir -p secrets
for name in server laboratory vendor controller operator engineer approver recipient; do
  head -c 24 /dev/urandom | base64 > "secrets/$name"
done

say "The server"
on_server init --data server --ring ring --listen "127.0.0.1:$port" --demonstration

say "Two organisations make their roots, each on its own machine"
laboratory=$(root laboratory --json organisation create --name "Laboratoire des Halles" --folder laboratory | field words)
vendor=$(root vendor --json organisation create --name "Editeur Biolog" --folder vendor | field words)
echo "laboratory: $laboratory"
echo "vendor:     $vendor"
on_server trust laboratory/organisation.json --data server --words "$laboratory"
on_server trust vendor/organisation.json --data server --words "$vendor"

# Not through on_server: a function in the background is a shell of its own, and ending that would leave the server.
"$lazaret" --passphrase-file secrets/server serve --data server 2> server.log &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true' EXIT
for _ in $(seq 100); do grep -q Serving server.log && break; sleep 0.1; done

say "Five persons enrol; each makes a key on their own device"
mkdir -p homes papers
enrol() { # organisation, its words, who, name, role
  root "$1" person invite --folder "$1" --name "$4" --role "$5" --server server/card.json --out "papers/$3.invitation"
  as "$3" person enrol --invitation "papers/$3.invitation" --words "$2" --device "$3-laptop" --out "papers/$3.request"
  root "$1" person certify --folder "$1" --request "papers/$3.request" --invitation "papers/$3.invitation" --out "papers/$3.certificate"
  as "$3" person enrol --certificate "papers/$3.certificate"
}
enrol laboratory "$laboratory" controller "Claire Le Goff" controller
enrol laboratory "$laboratory" operator "Yann Kerbrat" operator
enrol vendor "$vendor" engineer "Ines Moreau" engineer
enrol vendor "$vendor" approver "Paul Lambert" approver
enrol vendor "$vendor" recipient "Sofia Nunes" recipient
for name in controller operator; do as "$name" trust vendor/organisation.json --words "$vendor"; done
for name in engineer approver recipient; do as "$name" trust laboratory/organisation.json --words "$laboratory"; done

say "The scope is checked against the old system, on the laboratory's side"
as operator --json scope check --source "sqlite:$PWD/made/old.sqlite" --scope made/scope.toml --out papers/report.json > papers/source.json
as recipient --json scope check --target "sqlite:$PWD/made/new.sqlite" --scope made/scope.toml > papers/target.json

say "A plan is proposed and approved by two persons"
migration=$(as engineer --json migration open --controller laboratory/organisation.json --processor vendor/organisation.json | field migration)
clause() { printf '[instruction.clauses.%s]\nplace = "art. %s"\n' "$1" "$2"; }
{
  cat << TOML
scope = "../made/scope.toml"
report = "report.json"
extracting = ["operator.certificate"]
loading = ["recipient.certificate"]
[source]
identity = "$(field source.identity < papers/source.json)"
schema = "$(field source.schema < papers/source.json)"
live = false
[[target]]
kinds = ["full", "delta"]
identity = "$(field target.identity < papers/target.json)"
schema = "$(field target.schema < papers/target.json)"
[[allowed]]
kind = "full"
count_max = 2
hours_max = 240
[instruction]
purpose = "Move the laboratory's records to its new system"
nature = "Extraction, sealed carriage, loading, comparison, destruction"
duration = "Until sign-off, 30 days at most"
data = ["identity of patients", "requests", "results"]
persons = ["patients", "prescribers"]
sub_processors = ["none"]
recipients = ["Editeur Biolog, migration team"]
deadline = "$(date -u -d '+30 days' +%Y-%m-%dT%H:%M:%SZ)"
ending = "delete"
no_other_channel = true
dpia = { reference = "DPIA-2026-014" }
[instruction.controller]
name = "Laboratoire des Halles"
contact = "dpo@halles.example"
[instruction.processor]
name = "Editeur Biolog"
contact = "dpo@biolog.example"
[instruction.contract]
digest = "$(printf contract | sha256sum | cut -d' ' -f1)"
signatory = "Claire Le Goff"
TOML
  clause a 4.1; clause b 4.2; clause c 4.3; clause d 4.4; clause e 4.5; clause f 4.6; clause g 4.7; clause h 4.8
} > papers/plan.toml
plan=$(as engineer --json migration propose --plan papers/plan.toml | field plan)
as approver migration approve --yes "$plan"
as controller migration approve --yes "$plan"

say "One consignment: opened, offered to, extracted, released, handed over, loaded"
as operator consignment open --kind full
as recipient consignment offer
as operator extract --source "sqlite:$PWD/made/old.sqlite" --yes "$plan"
as controller consignment release --yes "$(as controller --json migration show | field confirm.release)"
as operator consignment hand-over
as recipient load --target "sqlite:$PWD/made/new.sqlite"
as recipient reconcile --target "sqlite:$PWD/made/new.sqlite"

say "Somebody copies the server and its ring; while they live, the recipient opens a parcel"
mkdir copy
cp -R server ring copy/
probe=$(as recipient migration destroy --only-probe)
printf '%s\n' "$probe"
grep -q 'a parcel opened' <<< "$probe"

say "Sign-off; the server destroys its part, then each party its own"
as controller migration sign-off --history target --yes "$(as controller --json migration show | field confirm.sign_off)"
# With the same keys, and every 32 bytes of the copied registry besides.
probe=$(as recipient migration destroy --only-probe --try-with copy/server/registry.sqlite)
printf '%s\n' "$probe"
grep -q 'nothing opened' <<< "$probe"
as recipient migration destroy --try-with copy/server/registry.sqlite
as operator migration destroy
as controller migration show

say "The evidence, verified without the server"
as controller evidence export --out evidence.zip
kill "$server"
wait "$server" || true
"$lazaret" evidence verify evidence.zip --trust laboratory/organisation.json --trust vendor/organisation.json \
  --server server/card.json
on_server journal verify --data server

say "A search for every planted value, in all that anybody but the two systems holds"
# How many of the values in a list stand in these files and folders.
found() { local list=$1; shift; { LC_ALL=C grep -rhaoFf "$list" "$@" || [ $? = 1 ]; } | LC_ALL=C sort -u | wc -l; }
# The controls: all of them are found in the old system, and in the new one those that move.
[ "$(found made/everything made/old.sqlite)" = "$(wc -l < made/everything)" ]
[ "$(found made/moves made/new.sqlite)" = "$(wc -l < made/moves)" ]
[ "$(found made/everything server ring copy laboratory vendor homes papers secrets server.log evidence.zip)" = 0 ]
echo "None of $(wc -l < made/everything) is found; in the old system all of them are."

say "Migration $migration is over; the evidence says who destroyed what"
