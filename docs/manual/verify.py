"""Holds a certificate of destruction against the server's facts: verify.py PACK [CARD, come another way than PACK]"""
import base64, datetime, hashlib, json, pathlib, re, sys, zipfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as Key
WORDS, time = json.loads(pathlib.Path(__file__).with_name("words.json").read_bytes()), datetime.datetime.fromisoformat
sha256, text = lambda data: hashlib.sha256(data).digest(), lambda data: base64.b64encode(data).decode()
spelled = lambda value: json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
need, sys.excepthook = lambda holds, what: holds or sys.exit(f"not shown: {what}"), lambda *it: need(0, repr(it[1]))
root = lambda lines: tree(lines, (1 << max(len(lines) - 1, 0).bit_length()) // 2)
tree = lambda a, at: sha256(b"\1" + root(a[:at]) + root(a[at:]) if at else b"".join(b"\0" + spelled(it) for it in a))
def signed(envelope, key, kind="application/vnd.lazaret.fact.v1+json"):
    data, sig = (base64.b64decode(it) for it in (envelope["payload"], envelope["signatures"][0]["sig"]))
    form = {"payloadType": kind, "payload": text(data), "signatures": [{"keyid": sha256(key).hex(), "sig": text(sig)}]}
    need(envelope == form, "type and spelling of what is signed, or the name of the key")
    Key.from_public_bytes(key).verify(sig, b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(data), data))
    return json.loads(data) | {"digest": sha256(data).hex()}
pack, facts, ends = zipfile.Path(sys.argv[1]) if zipfile.is_zipfile(sys.argv[1]) else pathlib.Path(sys.argv[1]), [], []
server = bytes.fromhex(json.loads([pack / "server.json", *map(pathlib.Path, sys.argv[2:])][-1].read_bytes())["key"])
statement = signed(json.loads((pack / "certificate.json").read_bytes()), server, "application/vnd.in-toto+json")
for entry in (json.loads(line)["entry"] for line in (pack / "entries.jsonl").read_bytes().splitlines()):
    fact, (proof,), before = signed(entry["fact"], server), entry["proof"].values(), facts[-1:] or [{"digest": None}]
    act = json.loads(base64.b64decode(proof["payload"])) if "payload" in proof else proof
    links = {"number": len(facts) + 1, "previous": before[0]["digest"], "act": sha256(spelled(act)).hex()}
    need(fact == fact | links, f"that fact {len(facts) + 1} is of its act and follows the one before")
    facts += [(it := act.get("body", act)) | it.get("evidence", it.get("manifest", {})) | fact | {"did": it.get("act")}]
certificate, known = statement["predicate"], facts[:statement["predicate"]["facts"]["number"]]
need([it["certificate"] for it in facts[len(known):] if it["did"] == "finish"] == [statement.pop("digest")], "its fact")
subject = [{"name": f"{facts[0]['migration']}/facts/{len(known)}", "digest": {"sha256": known[-1]["digest"]}}]
for told, new in zip(certificate["consignments"], [it for it in known if it["did"] == "open_consignment"], strict=True):
    mine = [{"did": "close", "forgotten": False}, *(it for it in known if it.get("consignment") == new["consignment"])]
    did, far = {it["did"]: it for it in mine}, len({*WORDS["steps"]} & {it.get("step", it["did"]) for it in mine})
    gone, lease = did["destroyed"], max((it["lease"] for it in mine if "lease" in it), key=time, default=None)
    line = lambda it: {"name": f"{told['id']}/{it['attempt']}/{it['parcel']}", "bytes": it["bytes"]}
    lines = [line(it) | {"sha256": it["digest"]} for it in gone["inventory"]]
    kept = [line(it) | {"what": "parcel", "until": it["until"]} for it in gone["lingering"]]
    kept += [it | {"what": "absent_parcels"} for it in [gone.get("absent")] if it]
    size, held, many = (sum(i.get(o, 1) for i in a) for a, o in ((lines, "bytes"), (kept, "bytes"), (kept, "parcels")))
    need(gone["parcels"] + many >= len(lines) and gone["bytes"] + held >= size, "that all of it was deleted")
    key, days, act = gone["key"], gone["snapshot_days"], gone["key"]["at"] if gone["key"]["found"] else None
    until = f"{(time(act) + datetime.timedelta(days)).date()}{act[10:]}" if act and days else None
    at, reach = act and max(filter(None, (act, lease, until)), key=time), WORDS["reaches"][far]
    times = [f"{it[:10]} {it[11:19]}" for it in (at, act, lease, until) if act and it]
    need(re.findall(r"\S+ \S+(?= UTC)", told["wording"][-1]) == times, "the times in its words")
    place = WORDS["places"][key["level"]][key["unlinked"] + 2 * key.get("could_leave", 0)] if act else "unknown_key"
    own, said = {WORDS["of"][it] for it in (reach, place)}, {*told["wording"]}
    need(own <= said and {re.sub(r"\b\d+", "0", it) for it in said - own} <= {*WORDS["forms"]}, "its words")
    left = [{"what": it} for it in WORDS["left"][place]] + [{"what": "snapshots", "until": until}] * bool(until)
    left += kept + [it for it in told["residues"] if it["what"] == "swap"] + [{"what": "recipient"}] * (far == 3)
    says = {name: did.get(act, {}).get(it) for act, names in WORDS["members"].items() for name, it in names.items()}
    says |= {"key_act": act, "last_lease": lease, "snapshots_until": until, "at": at, "reach": reach, "bytes": size}
    says |= {"parcels": len(lines), "root": root(lines).hex(), "lines": lines, "residues": left}
    for it in says: need((told | told["probes"] | told["inventory"] | told["effect"])[it] == says[it], f"its {it}")
    ends, subject = ends + [at], subject + [{"name": it["name"], "digest": {"sha256": it["sha256"]}} for it in lines]
ended = [it for it in known if it["did"] in WORDS["triggers"] and not it.get("consignment")][0]
ring = ([""] + [it["plan"]["key_ring"] for it in known if it["did"] == "propose"])[-1]
says = {"level": WORDS["levels"][ring], "effective": max(ends, key=time) if ends and all(ends) else None}
says |= {"facts": {"number": len(known), "digest": known[-1]["digest"]}, "demonstration": "/demo" in facts[0]["origin"]}
says |= {"trigger": certificate["trigger"] | {"why": WORDS["triggers"][ended["did"]], "fact": ended["number"]}}
says |= {"wording": WORDS["mark"] * says["demonstration"] + WORDS["general"][bool(ends)]}
need(statement == WORDS["form"] | {"predicate": certificate | says, "subject": subject}, "its form, subjects or whole")
print("DEMONSTRATION:" * says["demonstration"], f"holds: {len(subject) - 1} parcels, in effect from", says["effective"])
