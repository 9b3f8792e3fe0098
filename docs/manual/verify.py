"""Checks a certificate of destruction against the server's facts, with nothing of the program that wrote them:
    python verify.py PACK [CARD]    PACK: evidence.zip or its folder; CARD: the server's, come another way than PACK"""
import base64, datetime, hashlib, json, pathlib, re, sys, zipfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as Key
WORDS = json.loads(pathlib.Path(__file__).with_name("words.json").read_bytes())
sha256, time = lambda data: hashlib.sha256(data).digest(), lambda text: text and datetime.datetime.fromisoformat(text)
spelled = lambda value: json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
need = lambda holds, what: holds or sys.exit(f"does not hold: {what}")

def root(lines):
    at = (1 << max(len(lines) - 1, 0).bit_length()) // 2
    return sha256(b"\1" + root(lines[:at]) + root(lines[at:]) if at else b"".join(b"\0" + spelled(it) for it in lines))
def signed(envelope, key, kind="application/vnd.lazaret.fact.v1+json"):
    data, signature = (base64.b64decode(text) for text in (envelope["payload"], envelope["signatures"][0]["sig"]))
    text, sig = (base64.b64encode(raw).decode() for raw in (data, signature))
    form = {"payloadType": kind, "payload": text, "signatures": [{"keyid": sha256(key).hex(), "sig": sig}]}
    need(envelope == form, "type and spelling of what is signed, or the name of the key")
    Key.from_public_bytes(key).verify(signature, b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(data), data))
    return json.loads(data)
def check(read, card=None):
    server = bytes.fromhex((card or json.loads(read("server.json")))["key"])
    statement = signed(json.loads(read("certificate.json")), server, "application/vnd.in-toto+json")
    entries = [json.loads(line)["entry"] for line in read("entries.jsonl").splitlines()]
    facts, certificate = [signed(entry["fact"], server) for entry in entries], statement["predicate"]
    last, mark = certificate["facts"]["number"], facts[0]["origin"].split("/")[1] == "demonstration"
    named, said, ends = [(f"{facts[0]['migration']}/facts/{last}", facts[last]["previous"])], certificate["wording"], []
    for round, when, id in ((it, it["effect"], it["id"]) for it in certificate["consignments"]):
        fact, act = facts[round["fact"] - 1], entries[round["fact"] - 1]["proof"]["server"]
        need([fact["act"], act["consignment"]] == [sha256(spelled(act)).hex(), id], "which fact tells of it")
        told, key, lease, until = act["evidence"], act["evidence"]["key"], when["last_lease"], when["snapshots_until"]
        line = lambda it: {"name": f"{id}/{it['attempt']}/{it['parcel']}", "bytes": it["bytes"]}
        lines = [line(it) | {"sha256": it["digest"]} for it in told["inventory"]]
        kept = [line(it) | {"what": "parcel", "until": it["until"]} for it in told["lingering"]]
        size, held = (sum(it["bytes"] for it in them) for them in (lines, kept))
        need(told["parcels"] + len(kept) >= len(lines) and told["bytes"] + held >= size, "that all of it was deleted")
        act, days = key["at"] if key["found"] else None, datetime.timedelta(told["snapshot_days"])
        need(time(until) == (time(act) + days if act and days else None), "until when snapshots are kept")
        at = act and max(filter(None, (act, lease, until)), key=time)
        times = [f"{it[:10]} {it[11:19]}" for it in (at, act, lease, until) if act and it]
        need(re.findall(r"\S+ \S+(?= UTC)", round["wording"][-1]) == times, "the times in its words")
        left = [{"what": WORDS["residues"][key["level"]][key["unlinked"]] if act else "unknown_key"}]
        left += [{"what": "snapshots", "until": until}] * bool(until) + kept
        left += [it for it in round["residues"] if it["what"] == "swap"] + WORDS["reaches"][round["reach"]]
        says = {"key": key, "left": told["left"], "deleted": told["parcels"], "deleted_bytes": told["bytes"]}
        says |= {"effect": when | {"key_act": act, "snapshot_days": days.days, "at": at}, "residues": left}
        says["inventory"] = {"parcels": len(lines), "bytes": size, "root": root(lines).hex(), "lines": lines}
        for what in says: need(round[what] == says[what], f"{what} of consignment {id}")
        named, said, ends = named + [(it["name"], it["sha256"]) for it in lines], said + round["wording"], ends + [at]
    end = max(ends, key=time) if ends and all(ends) else None
    says = certificate | {"facts": {"number": last, "digest": named[0][1]}, "effective": end, "demonstration": mark}
    form = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "urn:lazaret:destruction:1", "predicate": says}
    form["subject"] = [{"name": name, "digest": {"sha256": digest}} for name, digest in named]
    need(statement == form, "its form, its subjects, its mark, or from when all of it is in effect")
    need({re.sub(r"\b\d+", "0", it) for it in said} <= {*WORDS["sentences"]} and ("DEMO" in said[0]) == mark, "words")
    return f"{'DEMONSTRATION: ' * mark}{certificate['id']} holds: {len(named) - 1} parcels, in effect from {end}"

if __name__ == "__main__":
    place = pathlib.Path(sys.argv[1])
    read = (lambda name: (place / name).read_bytes()) if place.is_dir() else zipfile.ZipFile(place).read
    print(check(read, json.loads(pathlib.Path(sys.argv[2]).read_text()) if len(sys.argv) > 2 else None))
