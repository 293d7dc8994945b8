"""Makes the vectors beside this file with the Python package `cryptography` (50 or later).

Every message that opens comes from its Cobblestone256Encryptor. Every message that is refused is such
a message, altered here, or one built from its AESGCM and HKDFExpand with one rule broken on purpose;
each was refused by its Cobblestone256Decryptor before it was written. Existing files are never
touched: a vector, once published, stays. New cases are added to the lists below.
"""

import hashlib
import json
import sys
from pathlib import Path

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

FOLDER = Path(__file__).parent
CHUNK, TAG, HEADER = 16384, 16, 56
SEALED = CHUNK + TAG
CONTEXT = b"claviger/vectors"
LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"


def pattern(length):
    return bytes((i + i // 256 * 31) & 0xFF for i in range(length))


def key_of(name):
    return hashlib.sha256(b"claviger vector " + name.encode()).digest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def seal(key, context, plain):
    encryptor = Cobblestone256Encryptor(key, context)
    return encryptor.update(plain) + encryptor.finalize()


def opens(key, context, message):
    decryptor = Cobblestone256Decryptor(key, context)
    try:
        return decryptor.update(message) + decryptor.finalize()
    except InvalidTag:
        return None


def write(folder, name, vector):
    path = FOLDER / folder / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_text(json.dumps(vector, indent=2) + "\n")


# Messages that open.


def success(name, length, context=CONTEXT):
    key, plain = key_of(name), pattern(length)
    message = seal(key, context, plain)
    assert opens(key, context, message) == plain
    vector = {
        "expect": "opens",
        "key": key.hex(),
        "context": context.hex(),
        "plaintext": {"pattern": length, "sha256": sha256(plain)},
        "message": {"salt": message[:24].hex(), "length": len(message), "sha256": sha256(message)},
    }
    if length <= 256:
        vector["plaintext"] = {"hex": plain.hex()}
        vector["message"] = {"hex": message.hex()}
    write("opens", name, vector)


def successes():
    for length in [0, 1, 15, 16, 17, 31, 32, 33, 255]:
        success(f"bytes-{length}", length)
    for chunks in [1, 2, 3]:
        for name, more in [("less-1-byte", -1), ("exactly", 0), ("and-1-byte", 1)]:
            success(f"chunks-{chunks}-{name}", chunks * CHUNK + more)
    success("chunk-number-of-two-bytes", 257 * CHUNK + 5)
    success("without-context", 100, b"")
    success("context-of-zeros", 100, bytes(64))
    success("context-of-utf-8", 100, "Schlüssel/鍵".encode())
    success("context-of-1000-bytes", 100, pattern(1000))
    success("context-that-looks-like-the-label", 100, LABEL)


# Messages that are refused: altered ones.


def edit(message, edits, others):
    message = bytearray(message)

    def at(number):
        return slice(HEADER + number * SEALED, HEADER + (number + 1) * SEALED)

    for step in edits:
        ((kind, what),) = step.items()
        if kind == "flip":
            message[what["byte"]] ^= 1 << what["bit"]
        elif kind == "truncate":
            assert what < len(message)
            del message[what:]
        elif kind == "append":
            message += bytes.fromhex(what)
        elif kind == "swap":
            first, second = sorted(what)
            a, b = bytes(message[at(first)]), bytes(message[at(second)])
            message[at(second)] = a
            message[at(first)] = b
        elif kind == "repeat":
            end = min(at(what).stop, len(message))
            message[end:end] = message[at(what)]
        elif kind == "remove":
            del message[at(what)]
        elif kind == "splice":
            span = slice(what["from"], what["to"])
            message[span] = others[what["salt"]][span]
        else:
            raise ValueError(kind)
    return bytes(message)


def altered(
    name, edits, length=40000, sealed_with=None, base=None, others=(), context=CONTEXT, key=None
):
    """`sealed_with`: key and context of the sealer where the opener's are others."""
    key = key or key_of(name)
    sealer_key, sealer_context = sealed_with or (key, context)
    plain = pattern(length)
    message = base or seal(sealer_key, sealer_context, plain)
    assert opens(sealer_key, sealer_context, message) == plain
    result = edit(message, edits, {other[:24].hex(): other for other in others})
    assert opens(key, context, result) is None, name
    vector = {
        "expect": "refused",
        "key": key.hex(),
        "context": context.hex(),
        "plaintext": {"pattern": length, "sha256": sha256(plain)},
        "message": {
            "salt": message[:24].hex(),
            "base_sha256": sha256(message),
            "edits": edits,
            "length": len(result),
            "sha256": sha256(result),
        },
    }
    if sealed_with:
        vector["sealed_with"] = {"key": sealer_key.hex(), "context": sealer_context.hex()}
    write("refuses", name, vector)


def alterations():
    full = HEADER + 2 * SEALED + 40000 % CHUNK + TAG
    for name, byte, bit in [
        ("first-salt-bit", 0, 7),
        ("last-salt-bit", 23, 0),
        ("first-commitment-bit", 24, 7),
        ("last-commitment-bit", 55, 0),
        ("first-bit-of-chunk-0", HEADER, 7),
        ("last-bit-of-chunk-0", HEADER + CHUNK - 1, 0),
        ("first-tag-bit-of-chunk-0", HEADER + CHUNK, 7),
        ("last-tag-bit-of-chunk-0", HEADER + SEALED - 1, 0),
        ("a-bit-of-chunk-1", HEADER + SEALED + 8000, 3),
        ("a-tag-bit-of-chunk-1", HEADER + SEALED + CHUNK + 8, 4),
        ("a-bit-of-the-last-chunk", HEADER + 2 * SEALED + 7000, 5),
        ("last-tag-bit-of-the-message", full - 1, 0),
    ]:
        altered(f"flipped-{name}", [{"flip": {"byte": byte, "bit": bit}}])
    altered("flipped-tag-of-an-empty-message", [{"flip": {"byte": 60, "bit": 1}}], length=0)
    altered(
        "flipped-tag-of-an-empty-last-chunk",
        [{"flip": {"byte": HEADER + SEALED, "bit": 1}}],
        length=CHUNK,
    )

    for length in [
        0,
        1,
        23,
        24,
        55,
        56,
        57,
        71,
        72,
        73,
        HEADER + CHUNK - 1,
        HEADER + CHUNK,
        HEADER + SEALED - 1,
    ]:
        altered(f"truncated-to-{length}-bytes", [{"truncate": length}])
    for chunks in [1, 2]:
        for more in [0, 1, 15, 16, 17]:
            length = HEADER + chunks * SEALED + more
            altered(f"truncated-to-{chunks}-chunks-and-{more}-bytes", [{"truncate": length}])
    altered("truncated-by-one-byte", [{"truncate": full - 1}])
    altered("truncated-by-one-tag", [{"truncate": full - TAG}])
    altered("truncated-empty-message", [{"truncate": HEADER}], length=0)
    for chunks in [1, 2]:
        end = HEADER + chunks * SEALED
        altered(
            f"full-last-chunk-of-{chunks}-without-end", [{"truncate": end}], length=chunks * CHUNK
        )
        altered(
            f"full-last-chunk-of-{chunks}-and-half-a-tag",
            [{"truncate": end + 8}],
            length=chunks * CHUNK,
        )

    altered("swapped-chunks-0-and-1", [{"swap": [0, 1]}])
    altered("swapped-chunks-1-and-2-of-4", [{"swap": [1, 2]}], length=50000)
    altered("swapped-chunk-1-and-the-last", [{"swap": [1, 2]}])
    altered("repeated-chunk-0", [{"repeat": 0}])
    altered("repeated-last-chunk", [{"repeat": 2}])
    altered("repeated-empty-last-chunk", [{"repeat": 1}], length=CHUNK)
    altered("removed-chunk-0", [{"remove": 0}])
    altered("removed-chunk-1", [{"remove": 1}])
    altered("removed-chunk-0-of-1-full", [{"remove": 0}], length=CHUNK)

    for count in [1, 15, 16, 17, 72]:
        altered(f"trailing-{count}-zero-bytes", [{"append": bytes(count).hex()}])
    altered("trailing-byte-after-an-empty-message", [{"append": "00"}], length=0)
    altered("trailing-byte-after-an-empty-last-chunk", [{"append": "00"}], length=CHUNK)
    # The last chunk lacks two bytes of being full: filled up to almost full, to full, and past it.
    for count in [1, 2, 3, 18]:
        altered(
            f"trailing-{count}-bytes-after-an-almost-full-chunk",
            [{"append": bytes(count).hex()}],
            length=3 * CHUNK - 2,
        )

    key = key_of("splices")
    plain = pattern(40000)
    base, other = seal(key, CONTEXT, plain), seal(key, CONTEXT, plain)
    salt = other[:24].hex()
    ends = {
        "chunk-0": (HEADER, HEADER + SEALED),
        "chunk-1": (HEADER + SEALED, HEADER + 2 * SEALED),
        "last-chunk": (HEADER + 2 * SEALED, full),
        "salt": (0, 24),
        "commitment": (24, HEADER),
        "header": (0, HEADER),
        "tag": (full - TAG, full),
    }
    for name, (start, end) in ends.items():
        splice = {"splice": {"from": start, "to": end, "salt": salt}}
        altered(f"spliced-{name}", [splice], base=base, others=[other], key=key)

    for name, context in [
        ("empty", b""),
        ("shorter", CONTEXT[:-1]),
        ("with-a-zero-more", CONTEXT + b"\0"),
        ("in-upper-case", CONTEXT.upper()),
        ("twice", CONTEXT * 2),
    ]:
        name = f"context-{name}"
        altered(name, [], context=context, sealed_with=(key_of(name), CONTEXT))
    altered(
        "context-where-there-was-none",
        [],
        sealed_with=(key_of("context-where-there-was-none"), b""),
    )
    for name, change in [
        ("one-bit-off", lambda k: bytes([k[0] ^ 1]) + k[1:]),
        ("reversed", lambda k: k[::-1]),
        ("of-zeros", lambda k: bytes(32)),
    ]:
        name = f"key-{name}"
        altered(name, [], sealed_with=(change(key_of(name)), CONTEXT))
    altered("key-of-another-empty-message", [], length=0, sealed_with=(key_of("another"), CONTEXT))


# Messages that are refused: built with one rule broken.


def forge(key, chunks, context=CONTEXT, derive=None, aad=None, nonce=None, label=LABEL):
    salt = hashlib.sha256(b"salt" + key).digest()[:24]
    info = label + salt + context
    derive = derive or (lambda key, info: HKDFExpand(hashes.SHA512(), 76, info).derive(key))
    output = derive(key, info)
    message_key, base, commitment = output[:32], output[32:44], output[44:76]
    message = salt + commitment
    nonce = nonce or (lambda base, number: int.from_bytes(base, "big") ^ number)
    for number, plain in chunks:
        value = nonce(base, number)
        message += AESGCM(message_key).encrypt(value.to_bytes(12, "big"), plain, aad)
    return message


def forged(name, chunks, honest=False, **broken):
    key = key_of(name)
    message = forge(key, chunks, **broken)
    result = opens(key, CONTEXT, message)
    assert (result is not None) == honest, name
    if not honest:
        write(
            "refuses",
            name,
            {
                "expect": "refused",
                "key": key.hex(),
                "context": CONTEXT.hex(),
                "message": {"hex": message.hex()},
            },
        )


def forgeries():
    short = [(0, pattern(100))]
    forged("an-honest-message", short, honest=True)
    forged("two-final-chunks", [(0, pattern(100)), (1, pattern(100))])
    forged("two-empty-final-chunks", [(0, b""), (1, b"")])
    forged("an-empty-chunk-after-the-last", [(0, pattern(100)), (1, b"")])
    forged("an-empty-chunk-before-the-last", [(0, b""), (1, pattern(100))])
    forged("no-chunk-at-all", [])
    forged("chunk-numbers-from-one", [(1, pattern(100))])
    forged("a-last-chunk-longer-than-a-full-one", [(0, pattern(CHUNK + 1))])
    forged("additional-data-not-empty", short, aad=CONTEXT)
    forged(
        "derived-with-extract",
        short,
        derive=lambda key, info: HKDF(hashes.SHA512(), 76, None, info).derive(key),
    )
    forged(
        "derived-with-sha-256",
        short,
        derive=lambda key, info: HKDFExpand(hashes.SHA256(), 76, info).derive(key),
    )
    forged("derived-for-aes-128", short, label=LABEL.replace(b"256", b"128"))
    forged("derived-without-the-zero-byte", short, label=LABEL[:-1])
    forged("derived-for-version-2", short, label=LABEL.replace(b"@v1", b"@v2"))
    forged(
        "commitment-of-zeros",
        short,
        derive=lambda key, info: HKDFExpand(hashes.SHA512(), 44, info).derive(key) + bytes(32),
    )


if __name__ == "__main__":
    successes()
    alterations()
    forgeries()
    print(sum(1 for _ in FOLDER.glob("*/*.json")), "vectors", file=sys.stderr)
