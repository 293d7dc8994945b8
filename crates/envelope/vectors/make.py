"""Makes the vectors of this folder after FORMAT.md, with an implementation that is not ours.

    pip install 'cryptography>=50'; python make.py

Frozen: a vector that is there already is never written again, because the salts are random.
"""

import hashlib
import json
import pathlib

from cryptography.cobblestone import Cobblestone256Encryptor

HERE = pathlib.Path(__file__).parent
DATA_KEY = bytes(range(0x40, 0x60))
ENVELOPE_ID = bytes.fromhex("9a0b6f5e1c2d4e3f8091a2b3c4d5e6f7")
CONTEXT = {"table": "users", "row": "17"}


def field(data):
    return len(data).to_bytes(4, "big") + data


def payload_context(envelope_id, context):
    entries = sorted((key.encode(), value.encode()) for key, value in context.items())
    canonical = field(b"claviger/1/encryption-context") + field(len(entries).to_bytes(4, "big"))
    canonical += b"".join(field(key) + field(value) for key, value in entries)
    return (
        field(b"claviger/1/payload")
        + field((1).to_bytes(4, "big"))
        + field(envelope_id)
        + field(canonical)
    )


def seal(plaintext, envelope_id=ENVELOPE_ID, context=CONTEXT, key=DATA_KEY):
    encryptor = Cobblestone256Encryptor(key, payload_context(envelope_id, context))
    return encryptor.update(plaintext) + encryptor.finalize()


def ciphertext(version=1):
    return b"\x01\x01" + bytes([0x11]) * 16 + version.to_bytes(4, "big") + bytes([0x22]) * 104


def wrap(provider=1, data=None):
    data = ciphertext() if data is None else data
    return bytes([provider]) + len(data).to_bytes(2, "big") + data


def header(kind=1, wraps=None, envelope_id=ENVELOPE_ID, count=None, form=1, magic=b"CLVE"):
    wraps = [wrap()] if wraps is None else wraps
    count = len(wraps) if count is None else count
    return magic + bytes([form, kind]) + envelope_id + bytes([count]) + b"".join(wraps)


def slot(sequence, head=None, form=1, magic=b"CLVF"):
    head = header(kind=2) if head is None else head
    body = magic + bytes([form]) + sequence.to_bytes(8, "big") + len(head).to_bytes(2, "big") + head
    body = body.ljust(4064, b"\0")
    return body + hashlib.sha256(body).digest()


def flipped(data, at, bit=0):
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def pieces(data):
    """Runs of 32 or more equal bytes as N*XX, the rest as hexadecimal."""
    found, at, plain = [], 0, 0
    while at < len(data):
        end = at
        while end < len(data) and data[end] == data[at]:
            end += 1
        if end - at >= 32:
            found += [data[plain:at].hex()] if at > plain else []
            found.append(f"{end - at}*{data[at]:02x}")
            plain = end
        at = end
    return found + ([data[plain:].hex()] if plain < len(data) else [])


def vector(name, claim, envelope, expect, plaintext=None, context=CONTEXT, key=DATA_KEY):
    path = HERE / f"{name}.json"
    if path.exists():
        return
    content = {
        "claim": claim,
        "data_key": key.hex(),
        "context": context,
        "envelope": pieces(envelope),
        "expect": expect,
    }
    if plaintext is not None:
        content["plaintext"] = pieces(plaintext)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def records():
    text = b"a record of format 1"
    payload = seal(text)
    good = header() + payload
    start = len(header())
    opens = lambda name, claim, data, plain=text, **more: vector(
        f"record-{name}", claim, data, "opens", plain, **more
    )
    rejected = lambda name, claim, data, **more: vector(
        f"record-{name}", claim, data, "rejected", **more
    )
    refused = lambda name, claim, data: vector(f"record-{name}", claim, data, "not-an-envelope")

    opens("opens", "a record with one wrap", good)
    opens("empty", "a record of no bytes", header() + seal(b""), b"")
    long = bytes([0x5A]) * 20000
    opens("two-chunks", "a record of two chunks", header() + seal(long), long)
    chunk = bytes([0x5B]) * 16384
    opens("full-chunk", "a record of one full chunk and an empty one", header() + seal(chunk), chunk)
    opens("no-context", "the empty context is bound", header() + seal(text, context={}), context={})
    unicode = {"ü": "Zürich", "z": "", "a": "x"}
    opens(
        "context-order",
        "entries are sorted by the bytes of their keys, an empty value is bound",
        header() + seal(text, context=unicode),
        context=unicode,
    )
    four = [wrap(2, b"\x33" * 1000), wrap(), wrap(5, b"vault:v1:x"), wrap(255, b"\x44")]
    opens("four-wraps", "four wraps, the largest there can be and unknown providers", header(wraps=four) + payload)
    moved = header(wraps=[wrap(1, ciphertext(version=2))])
    opens("rewrapped", "the same payload under another header of the same id", moved + payload)

    rejected("other-context", "another context", good, context={"table": "users", "row": "18"})
    rejected("missing-context", "the context left out", good, context={})
    rejected("moved-context", "text moved between key and value", good, context={"table": "users", "ro": "w17"})
    rejected("other-key", "another data key", good, key=bytes(32))
    rejected("other-id", "another envelope id in the header", header(envelope_id=bytes(16)) + payload)
    other = seal(b"another record", envelope_id=bytes([7]) * 16)
    rejected("swapped-payload", "the payload of another envelope under the same data key", header() + other)
    rejected("format-2-payload", "a context with format 2 bound", header() + format_2_payload(text))
    for name, at in [
        ("salt", 0), ("salt-end", 23), ("commitment", 24), ("commitment-end", 55),
        ("chunk", 56), ("tag", len(payload) - 16), ("last-byte", len(payload) - 1),
    ]:
        rejected(f"flipped-{name}", f"one bit of the payload flipped: {name}", flipped(good, start + at))
    for at in range(6, 22, 5):
        rejected(f"flipped-id-{at}", f"one bit of the envelope id flipped: offset {at}", flipped(good, at, 3))
    rejected("cut-by-one", "one byte cut off the end", good[:-1])
    rejected("added-byte", "one byte added to the end", good + b"\0")
    whole = header() + seal(chunk + b"x")
    rejected("cut-to-full-chunk-and-short", "the last chunk cut to an empty one without a tag of its own",
             whole[: start + 56 + 16400 + 16])
    two = seal(chunk + chunk + b"x")
    swapped = two[:56] + two[56 + 16400 : 56 + 32800] + two[56 : 56 + 16400] + two[56 + 32800 :]
    rejected("swapped-chunks", "two chunks exchanged", header() + swapped)

    refused("empty-bytes", "no bytes at all", b"")
    refused("other-magic", "another magic", header(magic=b"CLVD") + payload)
    refused("lower-case-magic", "the magic in lower case", header(magic=b"clve") + payload)
    refused("kind-0", "kind 0", header(kind=0) + payload)
    refused("kind-9", "kind 9", header(kind=9) + payload)
    refused("kind-file", "a file's header without slots", header(kind=2) + payload)
    refused("no-wraps", "no wraps", header(wraps=[]) + payload)
    refused("five-wraps", "five wraps", header(wraps=[wrap()] * 5) + payload)
    refused("255-wraps", "255 wraps claimed, one there", header(count=255) + payload)
    refused("provider-0", "a wrap of provider 0", header(wraps=[wrap(0)]) + payload)
    refused("empty-wrap", "a wrap of no bytes", header(wraps=[wrap(2, b"")]) + payload)
    refused("wrap-of-1001", "a wrap of 1001 bytes", header(wraps=[wrap(2, b"\1" * 1001)]) + payload)
    refused("wrap-past-the-end", "a wrap longer than what is there",
            header(wraps=[b"\x02\x03\xe8" + b"\1" * 20]))
    refused("second-wrap-missing", "two wraps claimed, the second is missing", header(count=2))
    refused("no-payload", "no payload", header())
    refused("payload-of-71", "a payload one byte shorter than any", header() + payload[:71])
    refused("cut-at-chunk", "cut at the end of a full chunk", header() + two[: 56 + 16400])
    refused("cut-in-tag", "cut within 15 bytes after a full chunk", header() + two[: 56 + 16400 + 15])
    for at in [1, 3, 5, 6, 21, 22, 23, 24, 25, 26, 27, 43, 47, 48, 151, 153, 207]:
        refused(f"cut-at-{at:03}", f"cut after {at} bytes", good[:at])
    vector("record-cut-at-004", "cut before the format", good[:4], "not-an-envelope")
    for form in [0, 2, 255]:
        vector(f"record-format-{form}", f"format {form}", header(form=form) + payload, "unknown-format")


def format_2_payload(plaintext):
    context = payload_context(ENVELOPE_ID, CONTEXT).replace(
        field((1).to_bytes(4, "big")), field((2).to_bytes(4, "big")), 1
    )
    encryptor = Cobblestone256Encryptor(DATA_KEY, context)
    return encryptor.update(plaintext) + encryptor.finalize()


def files():
    text = b"a file of format 1"
    payload = seal(text)
    both = slot(1) + slot(2)
    torn = flipped(slot(2), 100)
    other_id = header(kind=2, envelope_id=bytes(16))
    add = lambda name, claim, data, expect, plain=None, **more: vector(
        f"file-{name}", claim, data, expect, plain, **more
    )

    add("opens", "a new file: sequences 1 and 2", both + payload, "opens", text)
    add("rewrapped", "a file rewrapped once: 3 and 4", slot(3) + slot(4) + payload, "opens", text)
    add("empty", "a file of no bytes", both + seal(b""), "opens", b"")
    add("first-torn", "slot 0 torn", flipped(slot(1), 3000) + slot(2) + payload, "opens", text)
    add("first-zero", "slot 0 never written", bytes(4096) + slot(2) + payload, "opens", text)
    add("second-torn", "slot 1 torn", slot(1) + torn + payload, "opens", text)
    add("second-foreign", "slot 1 overwritten", slot(1) + b"\xee" * 4096 + payload, "opens", text)
    add("higher-counts-0", "slot 0 counts: the other would not open",
        slot(9) + slot(8, other_id) + payload, "opens", text)
    add("higher-counts-1", "slot 1 counts: the other would not open",
        slot(8, other_id) + slot(9) + payload, "opens", text)
    add("high-sequence", "sequences compare as unsigned 64-bit numbers",
        slot(1, other_id) + slot(2**64 - 1) + payload, "opens", text)
    add("equal-sequences", "equal sequences: slot 0 counts",
        slot(7) + slot(7, other_id) + payload, "opens", text)
    full = header(kind=2, wraps=[wrap(2, b"\x33" * 1000)] * 4)
    add("largest-header", "the largest header there can be", slot(1, full) + slot(2, full) + payload, "opens", text)

    add("higher-is-other", "the slot that counts has another envelope id",
        slot(1) + slot(2, other_id) + payload, "rejected")
    add("other-context", "another context", both + payload, "rejected", context={"table": "users"})
    add("other-key", "another data key", both + payload, "rejected", key=bytes(32))
    add("cut-payload", "one byte cut off the end", both + payload[:-1], "rejected")
    add("added-byte", "one byte added", both + payload + b"\0", "rejected")
    add("no-payload", "no payload", both, "rejected")
    add("flipped-payload", "one bit of the payload flipped", both + flipped(payload, 60), "rejected")

    add("both-torn", "both slots torn", flipped(slot(1), 4095) + torn + payload, "headers-torn")
    add("torn-and-foreign", "one slot torn, the other overwritten", torn + b"\xee" * 4096 + payload, "headers-torn")
    record = header(kind=1)
    add("record-in-slots", "a record's header in both slots", slot(1, record) + slot(2, record) + payload, "headers-torn")
    longer = header(kind=2) + b"\0"
    add("header-with-rest", "bytes after the header, inside its length",
        slot(1, longer) + slot(2, longer) + payload, "headers-torn")
    newer = header(kind=2, form=2)
    add("newer-header", "a header of format 2 in slots of format 1",
        slot(1, newer) + slot(2, newer) + payload, "headers-torn")

    add("format-2", "both slots of format 2", slot(1, form=2) + slot(2, form=2) + payload, "unknown-format")
    add("one-slot-format-2", "one whole slot of format 2", slot(1) + slot(2, form=2) + payload, "unknown-format")

    add("other-magic", "another magic in both", slot(1, magic=b"CLVX") + slot(2, magic=b"CLVX") + payload, "not-an-envelope")
    add("cut-at-8191", "cut one byte before the payload", both[:8191], "not-an-envelope")
    add("one-slot-only", "cut after the first slot", both[:4096], "not-an-envelope")
    add("cut-at-0004", "cut after the magic", both[:4], "not-an-envelope")


records()
files()
