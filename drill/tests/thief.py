"""What somebody opens who has copies of the parties' folders and every passphrase.

    thief.py PASSPHRASE FOLDER_OR_FILE...

Written from the page "Formats, to open without this program" of the manual (docs/manual/src/formats.md), with the
package `cryptography` and nothing of this repository's code. It reads every file that it is given, opens what is
sealed with all that it holds until nothing more opens, tries every pair of secrets on every parcel, and prints JSON.
"""

import base64
import functools
import hashlib
import itertools
import json
import pathlib
import re
import sqlite3
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AGE = b"age-encryption.org/v1"
RAW = (Encoding.Raw, PublicFormat.Raw)


def hkdf(material, salt, info):
    return HKDF(hashes.SHA256(), 32, salt or None, info).derive(material)


def bound(purpose, *parts):
    """A purpose, then each part behind its length."""
    return purpose + b"".join(struct.pack(">I", len(part)) + part for part in parts)


def opened(cipher, nonce, sealed, associated=b""):
    """What was sealed; none under another key, nonce or associated data."""
    try:
        return cipher.decrypt(nonce, sealed, associated)
    except (InvalidTag, ValueError):
        return None


# age files: "Secrets under a passphrase", "Secrets to an opening key".


def stanzas(head):
    """The recipients of an age header: words and wrapped key of each."""
    for stanza in head.split(b"\n-> ")[1:]:
        words, _, body = stanza.partition(b"\n")
        yield words.decode().split(), unpadded(body.replace(b"\n", b""))


def unpadded(text):
    return base64.b64decode(text + b"=" * (-len(text) % 4))


@functools.cache
def unlocked(passphrase, salt, log):
    return Scrypt(AGE + b"/scrypt" + salt, 32, 2**log, 8, 1).derive(passphrase)


def age(sealed, passphrase, keys):
    """What an age file of one chunk holds; none when neither the passphrase nor a key opens it."""
    head, _, rest = sealed.partition(b"\n--- ")
    payload = rest.partition(b"\n")[2]
    for (kind, *words), body in stanzas(head):
        wrapping = []
        if kind == "scrypt":
            wrapping = [unlocked(passphrase, unpadded(words[0].encode()), int(words[1]))]
        elif kind == "X25519":
            theirs = unpadded(words[0].encode())
            for key in map(X25519PrivateKey.from_private_bytes, keys):
                both = theirs + key.public_key().public_bytes(*RAW)
                wrapping.append(hkdf(key.exchange(X25519PublicKey.from_public_bytes(theirs)), both, AGE + b"/X25519"))
        for file_key in (opened(ChaCha20Poly1305(key), bytes(12), body) for key in wrapping):
            if file_key is not None:
                key = hkdf(file_key, payload[:16], b"payload")
                return opened(ChaCha20Poly1305(key), bytes(11) + b"\x01", payload[16:])
    return None


def bech32(text):
    """The bytes of AGE-SECRET-KEY-1..., its checksum left out."""
    bits = "".join(f"{'qpzry9x8gf2tvdw0s3jn54khce6mua7l'.index(letter):05b}" for letter in text.lower()[16:-6])
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))


# "The local ring" and "The strongroom share on the server".


def slots(file, magic):
    for at in range(0, len(file), 4096):
        if file[at : at + 8] == magic:
            yield file[at + 8 : at + 16], file[at + 16 : at + 4096]


def ring_keys(secrets, epochs, key_files):
    """(consignment, ring key) for every key file that opens under one of these epochs and one of these secrets."""
    for epoch, secret in itertools.product(epochs, secrets):
        for number, body in slots(epoch, b"LZEPOCH1"):
            wrapping = AESGCM(hkdf(secret + body[:32], b"", b"lazaret/1/ring/wrap" + number))
            for consignment, file in key_files:
                for of_epoch, wrapped in slots(file, b"LZRKEY01"):
                    key = opened(wrapping, wrapped[:12], wrapped[12:60], consignment + of_epoch)
                    if key is not None:
                        yield consignment, hkdf(key, consignment, b"lazaret/1/ring/seal")


def strongroom_share(ring_key, migration, consignment, wrapped):
    about = f"lazaret/1/strongroom|{migration.hex()}|{consignment.hex()}".encode()
    return opened(AESGCM(ring_key), wrapped[1:13], wrapped[13:], consignment + about)


# "Parcels of rows".


class Thrift:
    """Thrift's compact protocol, as far as the footer of a Parquet file needs it."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self):
        value, shift, byte = 0, 0, 0x80
        while byte & 0x80:
            byte = self.take(1)[0]
            value, shift = value | (byte & 0x7F) << shift, shift + 7
        return value

    def signed(self):
        value = self.number()
        return value >> 1 ^ -(value & 1)

    def value(self, kind):
        if kind in (1, 2):
            return kind == 1
        if kind in (4, 5, 6):
            return self.signed()
        if kind == 9:
            head = self.take(1)[0]
            length = self.number() if head >> 4 == 15 else head >> 4
            return [self.take(1) if head & 15 in (1, 2) else self.value(head & 15) for _ in range(length)]
        return self.struct() if kind == 12 else self.take({3: 1, 7: 8}.get(kind) or self.number())

    def struct(self):
        fields, field = {}, 0
        while head := self.take(1)[0]:
            field = field + (head >> 4) if head >> 4 else self.signed()
            fields[field] = self.value(head & 15)
        return fields


def parcel_name(migration, consignment, line):
    attempt, sequence = struct.pack(">I", line["attempt"]), struct.pack(">I", line["sequence"])
    return migration, consignment, attempt, bytes.fromhex(line["parcel"]), sequence, line["table"].encode()


def open_rows(key, name, parcel):
    """How many rows a parcel holds, as its footer says; none when this key does not open it."""
    footer = Thrift(parcel[-8 - struct.unpack("<I", parcel[-8:-4])[0] : -8])
    about = footer.struct()
    salt = about[2][8:40]
    file_key = hkdf(key, salt, bound(b"lazaret/1/parcel/table", name[0], name[1], name[3]))
    module = footer.data[footer.at + 4 :]
    place = bound(b"lazaret/1/parcel", *name) + about[1][1][2] + b"\x00"
    clear = opened(AESGCM(file_key), module[:12], module[12:], place)
    return None if clear is None else {"rows": Thrift(clear).struct()[3]}


# "Parcels of documents".


def open_documents(key, name, parcel):
    """How many bytes a parcel holds, and the first of them; none when this key does not open it."""
    material = hkdf(key, b"", bound(b"lazaret/1/parcel/file/material", name[0], name[1], name[3]))
    file_key = AESGCM(hkdf(material, parcel[1:33], bound(b"lazaret/1/parcel/file", *name)))
    clear, starts = b"", [40, *range(1 << 20, len(parcel), 1 << 20)]
    for number, start in enumerate(starts):
        last = number + 1 == len(starts)
        nonce = parcel[33:40] + struct.pack(">IB", number, last)
        piece = opened(file_key, nonce, parcel[start : (number + 1) << 20])
        if piece is None:
            return None
        clear += piece
    return {"bytes": len(clear), "begins": clear[:8].decode("latin-1")}


def open_parcel(laboratory, strongroom, act, name, parcel):
    key = hkdf(laboratory + strongroom, act, b"lazaret/1/consignment")
    return open_documents(key, name, parcel) if parcel[:1] == b"\x28" else open_rows(key, name, parcel)


class Copies:
    """Everything that is in the copies."""

    def __init__(self, passphrase, places):
        self.passphrase, self.secrets, self.sealed = passphrase, set(), set()
        self.acts, self.wrapped, self.files = {}, set(), []
        for place in map(pathlib.Path, places):
            paths = sorted(place.rglob("*")) if place.is_dir() else [place]
            self.files += [(path, path.read_bytes()) for path in paths if path.is_file()]
        for path, content in self.files:
            self.look(content)
            if path.name == "registry.sqlite":
                self.registry(path)
            if path.name == "facts.jsonl":
                for line in content.splitlines():
                    self.act(json.loads(line)["entry"])

    def look(self, content):
        """Sealed and clear secrets in a file, a row, or what was unsealed."""
        if content.startswith(AGE):
            self.sealed.add(content)
        for text in re.findall(rb"YWdlLWVuY3J5cHRpb24ub3JnL3Yx[A-Za-z0-9+/]+", content):
            self.sealed.add(unpadded(text))
        for text in re.findall(rb"AGE-SECRET-KEY-1[A-Z0-9]{58}", content):
            self.secrets.add(bech32(text.decode()))
        if len(content) == 32:
            self.secrets.add(content)

    def registry(self, path):
        rows = sqlite3.connect(path)
        for (entry,) in rows.execute("SELECT entry FROM fact"):
            self.act(json.loads(entry))
        for migration, consignment, wrapped in rows.execute("SELECT migration, consignment, wrapped FROM strongroom"):
            self.wrapped.add((bytes.fromhex(migration), bytes.fromhex(consignment), wrapped))
        for (body,) in rows.execute("SELECT body FROM document"):
            self.look(body)

    def act(self, entry):
        """The two acts that say what a consignment's key follows from, and where its parcels belong."""
        if "signed" not in entry["proof"]:
            return
        payload = base64.b64decode(entry["proof"]["signed"]["payload"])
        said = json.loads(payload)
        if said["body"]["act"] == "open_consignment":
            of = self.acts.setdefault(said["body"]["consignment"], {"migration": said["migration"]})
            of.update(kind=said["body"]["kind"], digest=hashlib.sha256(payload).digest())
        if said["body"]["act"] == "close":
            self.acts[said["body"]["manifest"]["consignment"]]["manifest"] = said["body"]["manifest"]

    def unseal(self):
        """Opens with all that is held, until nothing more opens."""
        before = None
        while before != len(self.secrets) + len(self.sealed):
            before = len(self.secrets) + len(self.sealed)
            for sealed in sorted(self.sealed):
                clear = age(sealed, self.passphrase, self.secrets)
                if clear is not None:
                    self.sealed.discard(sealed)
                    self.look(clear)
                    self.program_secrets(clear)
            epochs = [content for path, content in self.files if path.name == "epoch"]
            keys = [(path, content) for path, content in self.files if path.match("keys/*.key")]
            keys = [(bytes.fromhex(path.stem), content) for path, content in keys]
            for of, ring_key in list(ring_keys(self.secrets, epochs, keys)):
                for migration, consignment, wrapped in self.wrapped:
                    share = strongroom_share(ring_key, migration, consignment, wrapped) if of == consignment else None
                    self.secrets |= {share} - {None}

    def program_secrets(self, clear):
        """What `server.key` holds: two secrets of 32 bytes, and the key of its certificate."""
        if clear.startswith(b"{") and len(clear) != 32:
            server = json.loads(clear)
            self.secrets |= {bytes.fromhex(server["ring"]), bytes.fromhex(server["signing"])}
            pkcs8 = base64.b64decode("".join(server["tls"].splitlines()[1:-1]))
            self.secrets.add(pkcs8.partition(b"\x04\x22\x04\x20")[2][:32])

    def consignment(self, consignment, of):
        """Which of its shares are held, and which of its parcels any two secrets open."""
        manifest, found = of["manifest"], {}
        held = {hashlib.sha256(secret).hexdigest() for secret in self.secrets}
        folders = [part for documents in manifest.get("documents", []) for part in documents["parcels"]]
        lines = {line["digest"]: line for line in [*manifest["parcels"], *folders, *manifest.get("full_sums", []), manifest["sums"]]}
        parcels = {hashlib.sha256(content).hexdigest(): content for _, content in self.files}
        there = [(line, parcels[digest]) for digest, line in lines.items() if digest in parcels]
        for line, parcel in there:
            name = parcel_name(bytes.fromhex(of["migration"]), bytes.fromhex(consignment), line)
            for one, other in itertools.product(self.secrets, repeat=2):
                clear = open_parcel(one, other, of["digest"], name, parcel)
                if clear is not None:
                    found[line["parcel"]] = clear
        shares = {name: manifest[f"{name}_share"] in held for name in ("laboratory", "strongroom")}
        return {"kind": of["kind"], **shares, "parcels": len(there), "opened": found}


def main():
    copies = Copies(sys.argv[1].encode(), sys.argv[2:])
    copies.unseal()
    closed = {name: of for name, of in copies.acts.items() if "manifest" in of}
    consignments = {name: copies.consignment(name, of) for name, of in closed.items()}
    told = {"secrets": len(copies.secrets), "still_sealed": len(copies.sealed), "consignments": consignments}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
