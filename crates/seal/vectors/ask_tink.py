"""Tink's own streaming AEAD, for the tests of opaque parcels. Needs the Python package `tink`.

`ask_tink.py vectors`  prints the vectors of tink.txt; salts are new each time.
`ask_tink.py answer`   reads questions from standard input and answers each:
                   "seal|open SEGMENT_BYTES MATERIAL ASSOCIATED LENGTH\n" and LENGTH bytes; the keys in hex
                   "ok LENGTH\n" and LENGTH bytes, or "refused 0\n"
"""

import hashlib
import io
import sys

from tink import core, proto_keyset_format, secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2


def primitive(segment_bytes, material):
    """AES256-GCM-HKDF-1MB, but for the size of its segments."""
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(key_value=material)
    key.params.ciphertext_segment_size = segment_bytes
    key.params.derived_key_size = 32
    key.params.hkdf_hash_type = common_pb2.SHA256
    keyset = tink_pb2.Keyset(primary_key_id=1)
    entry = keyset.key.add(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW)
    entry.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
    entry.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    entry.key_data.value = key.SerializeToString()
    handle = proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


class Kept(io.BytesIO):
    """Tink closes what it has written to."""

    def close(self):
        pass


def seal(tink, clear, associated):
    kept = Kept()
    with tink.new_encrypting_stream(kept, associated) as stream:
        stream.write(clear)
    return kept.getvalue()


def opened(tink, sealed, associated):
    """The bytes in clear, or none when Tink refuses."""
    try:
        with tink.new_decrypting_stream(io.BytesIO(sealed), associated) as stream:
            return stream.read()
    except core.TinkError:
        return None


def answer():
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    for line in source:
        verb, segment_bytes, material, associated, length = line.split()
        given = source.read(int(length))
        tink = primitive(int(segment_bytes), bytes.fromhex(material.decode()))
        associated = bytes.fromhex(associated.decode())
        answered = seal(tink, given, associated) if verb == b"seal" else opened(tink, given, associated)
        sink.write(b"refused 0\n" if answered is None else b"ok %d\n" % len(answered))
        sink.write(answered or b"")
        sink.flush()


def counted(length):
    """What the vectors seal: 0, 1, .. 250, 0, 1, .."""
    return bytes(at % 251 for at in range(length))


MATERIAL = bytes(range(32))
ASSOCIATED = b"associated data"
SMALL, LARGE = 80, 1 << 20


def vector(why, expect, segment_bytes, sealed, clear_bytes, associated=ASSOCIATED, tink="the same"):
    """One vector, after Tink itself has said what is expected; or the other thing, where `tink` says so."""
    found = opened(primitive(segment_bytes, MATERIAL), sealed, associated)
    wanted = counted(clear_bytes) if expect == "open" or tink == "opens it" else None
    assert found == wanted, why
    print(f"\ncase: {why}\nexpect: {expect}\ntink: {tink}\nsegment_bytes: {segment_bytes}")
    print(f"material: {MATERIAL.hex()}\nassociated: {associated.hex()}\nclear_bytes: {clear_bytes}")
    if len(sealed) < 1000:
        print(f"sealed: {sealed.hex()}")
    else:
        digest = hashlib.sha256(sealed).hexdigest()
        print(f"header: {sealed[:40].hex()}\nsealed_bytes: {len(sealed)}\nsealed_digest: {digest}")


def vectors():
    print("What Tink's Python package sealed, and what must be refused; made by `ask_tink.py vectors`.")
    print("Byte i in clear is i modulo 251. Long parcels are given by their header and their digest.")
    small, large = primitive(SMALL, MATERIAL), primitive(LARGE, MATERIAL)
    for length in (0, 1, 23, 24, 25, 87, 88, 89, 216):
        sealed = seal(small, counted(length), ASSOCIATED)
        vector(f"{length} bytes in segments of {SMALL}", "open", SMALL, sealed, length)
    for length in (0, 1, 200, LARGE - 56, LARGE - 55, 2 * LARGE - 72, 2 * LARGE - 71):
        sealed = seal(large, counted(length), ASSOCIATED)
        vector(f"{length} bytes in segments of 1 MiB", "open", LARGE, sealed, length)
    sealed = seal(small, counted(216), ASSOCIATED)
    other = seal(small, counted(216), ASSOCIATED)
    parts = [sealed[:40], sealed[40:80], sealed[80:160], sealed[160:240], sealed[240:]]
    head, first, second, third, fourth = parts
    refused = {
        "the header says another length": b"\x29" + sealed[1:],
        "a bit of the salt is flipped": sealed[:1] + bytes([sealed[1] ^ 1]) + sealed[2:],
        "a bit of the nonce prefix is flipped": sealed[:33] + bytes([sealed[33] ^ 1]) + sealed[34:],
        "a bit of the first segment is flipped": sealed[:40] + bytes([sealed[40] ^ 1]) + sealed[41:],
        "a bit of the last tag is flipped": sealed[:-1] + bytes([sealed[-1] ^ 0x80]),
        "the last segment is missing": head + first + second + third,
        "the last byte is missing": sealed[:-1],
        "a byte follows": seal(small, counted(215), ASSOCIATED) + b"\x00",
        "only the header is there": head,
        "the header is cut": sealed[:39],
        "nothing is there": b"",
        "two segments changed places": head + first + third + second + fourth,
        "a segment is missing in the middle": head + first + third + fourth,
        "a segment stands twice": head + first + second + second + third + fourth,
        "a segment is of another parcel under the same material": head + first + other[80:160] + third + fourth,
        "the last segment is of another parcel under the same material": head + first + second + third + other[240:],
    }
    for why, bytes_ in refused.items():
        vector(why, "refuse", SMALL, bytes_, 216)
    # Tink ends at a last segment that is full, and does not look behind it.
    vector("a byte follows a full last segment", "refuse", SMALL, sealed + b"\x00", 216, tink="opens it")
    vector("the associated data are others", "refuse", SMALL, sealed, 216, ASSOCIATED + b".")


if __name__ == "__main__":
    streaming_aead.register()
    {"vectors": vectors, "answer": answer}[sys.argv[1]]()
