"""Stores and transforms written in Python, for the tests."""

import threading

import libdcp


class DictStorage(libdcp.Storage):
    """Files in a dict, with a list of the calls that were made."""

    def __init__(self):
        self.files = {}
        self.calls = []
        self.lock = threading.Lock()
        self.exists = False

    def location(self):
        return "dict://test"

    def note(self, *call):
        with self.lock:
            self.calls.append(call)

    def make_root(self):
        self.note("make_root")
        self.exists = True

    def create(self, path, expected_size):
        self.note("create", path)
        self.files[path] = bytearray()
        return path

    def write(self, file, offset, data):
        self.note("write", file, offset, len(data))
        content = self.files[file]
        if len(content) < offset + len(data):
            content.extend(bytes(offset + len(data) - len(content)))
        content[offset : offset + len(data)] = data

    def finish(self, file, size, durable):
        self.note("finish", file, size, durable)
        content = self.files[file]
        del content[size:]
        content.extend(bytes(size - len(content)))

    def abort(self, file):
        self.note("abort", file)

    def open(self, path):
        self.note("open", path)
        if path not in self.files:
            raise FileNotFoundError(path)
        content = bytes(self.files[path])
        return content, len(content)

    def read(self, file, offset, buffer):
        part = file[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)

    def close(self, file):
        pass

    def rename(self, source, target):
        self.note("rename", source, target)
        self.files[target] = self.files.pop(source)

    def remove(self, path):
        self.note("remove", path)
        if path not in self.files:
            raise FileNotFoundError(path)
        del self.files[path]

    def list(self):
        if not self.exists:
            raise FileNotFoundError("no folder")
        return sorted(self.files)

    def sync_folder(self):
        self.note("sync_folder")


class CaseSwap(libdcp.Transform):
    """The test transform of the golden files: swaps the case of ASCII letters in every byte."""

    name = "stream.rot13"
    version = "1"
    TABLE = bytes(b ^ 0x20 if chr(b).isalpha() and b < 128 else b for b in range(256))

    class Swap:
        def push(self, data):
            return bytes(data).translate(CaseSwap.TABLE)

        def finish(self):
            return None

    def encoder(self):
        return self.Swap()

    def decoder(self, version):
        if version.split(".")[0] != "1":
            raise ValueError(f"Unknown extension version={version}")
        return self.Swap()


class Held(libdcp.Transform):
    """Gives nothing before the end of the item, then all of it, reversed."""

    name = "stream.held"
    version = "1"

    class Stream:
        def __init__(self):
            self.parts = []

        def push(self, data):
            self.parts.append(bytes(data))

        def finish(self):
            return b"".join(self.parts)[::-1]

    def encoder(self):
        return self.Stream()

    def decoder(self, version):
        return self.Stream()
