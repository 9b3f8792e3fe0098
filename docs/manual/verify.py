"""Checks a certificate of destruction with nothing of the program that wrote it:
    python verify.py PACK [CARD]    PACK: evidence.zip, or the folder that it was unpacked into

Needs Python 3.11 with `cryptography`. CARD is the server's, got another way than the pack; without it the key is the pack's
own word. Checked: signature (DSSE, Ed25519), key, parcels, root of each inventory (RFC 6962), from when it is in effect.
"""
import base64, hashlib, json, sys, zipfile
from datetime import datetime, timedelta
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

sha256 = lambda data: hashlib.sha256(data).digest()
time = lambda text: text and datetime.fromisoformat(text)

def need(holds, what):
    if not holds:
        raise ValueError(f"does not hold: {what}")

def root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"")
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root(leaves[:left]) + root(leaves[left:]))

def signed(envelope, key):
    need(envelope["payloadType"] == "application/vnd.in-toto+json", "the type of what is signed")
    kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"], validate=True)
    [only] = envelope["signatures"]
    need(only["keyid"] == sha256(key).hex(), "the name of the key")
    signature = base64.b64decode(only["sig"], validate=True)
    for text, data in [(envelope["payload"], payload), (only["sig"], signature)]:
        need(base64.b64encode(data).decode() == text, "the one spelling in base64")
    signer = Ed25519PublicKey.from_public_bytes(key)
    signer.verify(signature, b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    return json.loads(payload)

def check(read, card=None):
    key = bytes.fromhex((card or json.loads(read("server.json")))["key"])
    statement = signed(json.loads(read("certificate.json")), key)
    kinds = (statement["_type"], statement["predicateType"])
    need(kinds == ("https://in-toto.io/Statement/v1", "urn:lazaret:destruction:1"), "the form of the statement")
    certificate, subjects, effects = statement["predicate"], [], []
    for round in certificate["consignments"]:
        lines, effect = round["inventory"]["lines"], round["effect"]
        leaves = [json.dumps(line, sort_keys=True, separators=(",", ":")).encode() for line in lines]
        need(root([sha256(b"\0" + leaf) for leaf in leaves]).hex() == round["inventory"]["root"], "an inventory's root")
        subjects += [{"name": line["name"], "digest": {"sha256": line["sha256"]}} for line in lines]
        act, lease, at = (time(effect[name]) for name in ("key_act", "last_lease", "at"))
        ends = act and [act, act + timedelta(effect["snapshot_days"])] + [lease] * bool(lease)
        need(at == (act and max(ends)) and bool(act) == round["key"]["found"], "from when a destruction is in effect")
        effects.append(at)
    need(statement["subject"][1:] == subjects, "its subjects")
    whole = all(effects) and max(effects, default=None) or None
    need(time(certificate["effective"]) == whole, "from when all of it is in effect")
    return f"certificate {certificate['id']} holds: {len(subjects)} parcels, in effect from {certificate['effective']}"

if __name__ == "__main__":
    place = Path(sys.argv[1])
    read = (lambda name: (place / name).read_bytes()) if place.is_dir() else zipfile.ZipFile(place).read
    print(check(read, json.loads(Path(sys.argv[2]).read_text()) if len(sys.argv) > 2 else None))
