"""Checks a certificate of destruction with nothing of the program that wrote it:
    python verify.py PACK [CARD]    PACK: evidence.zip, or the folder that it was unpacked into

Needs Python 3.11 with `cryptography`. CARD is the server's, got another way than the pack; without it the key is the
pack's own word. Checked: signature (DSSE, Ed25519), key, subjects, inventories and roots (RFC 6962), key acts, times.
"""
import base64, hashlib, json, sys, zipfile
from datetime import datetime, timedelta
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as Key

sha256 = lambda data: hashlib.sha256(data).digest()
time = lambda text: text and datetime.fromisoformat(text)
leaf = lambda line: b"\0" + json.dumps(line, sort_keys=True, separators=(",", ":")).encode()
def need(holds, what):
    if not holds: raise ValueError(f"does not hold: {what}")

def root(lines):
    if len(lines) < 2:
        return sha256(b"".join(leaf(line) for line in lines))
    left = 1 << (len(lines) - 1).bit_length() - 1
    return sha256(b"\1" + root(lines[:left]) + root(lines[left:]))

def signed(envelope, key):
    need(envelope["payloadType"] == "application/vnd.in-toto+json", "the type of what is signed")
    [only] = envelope["signatures"]
    need(only["keyid"] == sha256(key).hex(), "the name of the key")
    texts = [envelope["payload"], only["sig"]]
    data, signature = (base64.b64decode(text, validate=True) for text in texts)
    need(texts == [base64.b64encode(raw).decode() for raw in (data, signature)], "the one spelling in base64")
    Key.from_public_bytes(key).verify(signature, b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(data), data))
    return json.loads(data)

def check(read, card=None):
    server = bytes.fromhex((card or json.loads(read("server.json")))["key"])
    statement = signed(json.loads(read("certificate.json")), server)
    certificate, effects = statement["predicate"], []
    last, subject = certificate["facts"], lambda name, digest: {"name": name, "digest": {"sha256": digest}}
    subjects = [subject(f"{certificate['migration']}/facts/{last['number']}", last["digest"])]
    for round in certificate["consignments"]:
        inventory, key, effect, lines = round["inventory"], round["key"], round["effect"], round["inventory"]["lines"]
        counted = {"parcels": len(lines), "bytes": sum(line["bytes"] for line in lines), "root": root(lines).hex()}
        need(inventory == {"lines": lines, **counted}, "how many parcels an inventory has, their bytes, or its root")
        subjects += [subject(line["name"], line["sha256"]) for line in lines]
        act, lease, until, at = (time(effect[name]) for name in ("key_act", "last_lease", "snapshots_until", "at"))
        need(act == (time(key["at"]) if key["found"] else None), "when a key was destroyed")
        kept = timedelta(effect["snapshot_days"])
        need(until == (act + kept if act and kept else None), "until when snapshots are kept")
        need(at == (act and max(filter(None, [act, lease, until]))), "from when a destruction is in effect")
        effects.append(at)
    form = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "urn:lazaret:destruction:1"}
    need(statement == {**form, "subject": subjects, "predicate": certificate}, "its form, or its subjects")
    effective = certificate["effective"]
    need(time(effective) == (max(effects) if effects and all(effects) else None), "from when all of it is in effect")
    return f"certificate {certificate['id']} holds: {len(subjects) - 1} parcels, in effect from {effective}"

if __name__ == "__main__":
    place = Path(sys.argv[1])
    read = (lambda name: (place / name).read_bytes()) if place.is_dir() else zipfile.ZipFile(place).read
    print(check(read, json.loads(Path(sys.argv[2]).read_text()) if len(sys.argv) > 2 else None))
