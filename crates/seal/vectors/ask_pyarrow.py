"""Arrow's C++ reader of Parquet, for the tests of parcels of rows. Needs the Python package `pyarrow`.

Reads questions from standard input and answers each:
    "open|types KEY AAD LENGTH\n" and LENGTH bytes of a parcel; its key and what it is bound to in hex
    "ok LENGTH\n" and LENGTH bytes, or "refused 0\n"
The answer to `open` is a plain Parquet file of the same rows, to `types` one line for each column.
"""

import io
import os
import sys

import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe


def opened(sealed, key, aad):
    """The rows, or none when pyarrow refuses."""
    try:
        decryption = pe.create_decryption_properties(key, aad_prefix=aad)
        return pq.read_table(io.BytesIO(sealed), decryption_properties=decryption)
    except OSError:
        return None


def told(verb, table):
    if verb == b"types":
        return "".join(f"{field.name} {field.type}\n" for field in table.schema).encode()
    plain = io.BytesIO()
    pq.write_table(table, plain, compression="none")
    return plain.getvalue()


source, sink = sys.stdin.buffer, sys.stdout.buffer
for line in source:
    verb, key, aad, length = line.split()
    table = opened(source.read(int(length)), bytes.fromhex(key.decode()), bytes.fromhex(aad.decode()))
    answer = None if table is None else told(verb, table)
    sink.write(b"refused 0\n" if answer is None else b"ok %d\n" % len(answer))
    sink.write(answer or b"")
    sink.flush()

# All answers are given. Arrow's own threads now and then abort a process that takes its leave of them one by one.
os._exit(0)
