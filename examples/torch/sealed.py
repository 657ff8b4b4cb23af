"""Checkpoints that only holders of a key can make: every tensor and object is followed by a keyed hash
of its bytes, which is checked when it is loaded.

    python sealed.py [folder]

What it does not cover: `.metadata`, and one sealed item put in the place of another. The extension is an
ordinary one of torch.distributed.checkpoint: torch's own writers and readers take it as well. One that
encrypts looks the same; its `write` gives ciphertext.
"""

import hashlib
import hmac
import io
import sys
import tempfile

import torch

import libdcp.torch as dcp
from libdcp.torch._extension import ExtensionRegistry, StreamTransformExtension

# By name, so that keys can be replaced: files say which one they were sealed with.
KEYS = {"2025": b"an old key, for old checkpoints", "2026": b"a key from where secrets are kept"}
SIZE = hashlib.sha256().digest_size


class Sealed(StreamTransformExtension):
    """bytes -> bytes, SHA-256 of them under a key."""

    def __init__(self, key: str = "2026"):
        self.key = key

    @staticmethod
    def registry_name():
        return "stream.sealed@example.org"

    @staticmethod
    def from_descriptor(version):
        major, _, key = version.partition(".")
        if major != "1" or key not in KEYS:
            raise ValueError(f"sealed as version {major} with key '{key}', which is not here")
        return Sealed(key)

    def get_descriptor(self):
        return f"{self.registry_name()}/1.{self.key}"

    def _hash(self):
        return hmac.new(KEYS[self.key], digestmod="sha256")

    def transform_to(self, output):
        return Sealing(output, self._hash())

    def transform_from(self, input):
        data = memoryview(input.read())
        content, seal = data[:-SIZE], data[-SIZE:]
        found = self._hash()
        found.update(content)
        if not hmac.compare_digest(found.digest(), seal):
            raise ValueError("the seal is broken: whoever saved this had another key")
        return io.BytesIO(content)


class Sealing(io.RawIOBase):
    def __init__(self, output, hash):
        self.output = output
        self.hash = hash

    def writable(self):
        return True

    def write(self, data):
        self.hash.update(data)
        self.output.write(data)
        return len(data)

    def close(self):
        if not self.closed:
            self.output.write(self.hash.digest())
            super().close()
            self.output.close()  # closing goes through to what is below


def reader(path):
    registry = ExtensionRegistry()
    registry.register(Sealed)
    return dcp.FileSystemReader(path, _extension_registry=registry)


def main(folder):
    model = torch.nn.Linear(100, 50)
    dcp.save({"model": model.state_dict()}, storage_writer=dcp.FileSystemWriter(folder, _extensions=[Sealed()]))

    other = torch.nn.Linear(100, 50)
    state = {"model": other.state_dict()}
    dcp.load(state, storage_reader=reader(folder))
    print("equal:", torch.equal(model.weight, other.weight))

    key, KEYS["2026"] = KEYS["2026"], b"a guess"
    dcp.save({"model": other.state_dict()}, storage_writer=dcp.FileSystemWriter(folder, _extensions=[Sealed()]))
    KEYS["2026"] = key
    try:
        dcp.load(state, storage_reader=reader(folder))
    except dcp.CheckpointException as error:
        print("refused:", str(error).strip().splitlines()[-1])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(folder)
