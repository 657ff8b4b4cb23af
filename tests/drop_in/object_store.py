"""File systems for the tests, like those that fsspec has for services: an object store with requests
for ranges, and a server with one connection that does not rename over a file."""

import asyncio
import threading

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem


class Upload(AbstractBufferedFile):
    """Shown when it is closed; parts come before."""

    DEFAULT_BLOCK_SIZE = 1 << 20

    def _initiate_upload(self):
        self.parts = []

    def _upload_chunk(self, final=False):
        self.parts.append(self.buffer.getvalue())
        if final:
            self.fs.show(self.path, b"".join(self.parts))
        return True

    def discard(self):
        self.fs.calls.append(("discard", self.path))


class ObjectStore(AsyncFileSystem):
    """bucket://... Objects live in the class: `objects`, with every call in `calls`, and in `shown` what
    readers could see of each name, in order."""

    protocol = "bucket"
    cachable = False
    objects: dict = {}
    shown: list = []
    calls: list = []
    most_at_once = 0
    ranges = True
    _now = 0

    @classmethod
    def clear(cls):
        for held in (cls.objects, cls.shown, cls.calls):
            held.clear()
        cls.most_at_once = 0
        cls.ranges = True

    def show(self, path, data):
        self.objects[path] = bytes(data)
        self.shown.append((path, len(data)))

    def _find(self, path):
        if path not in self.objects:
            raise FileNotFoundError(path)
        return self.objects[path]

    async def _cat_file(self, path, start=None, end=None, **kwargs):
        path = self._strip_protocol(path)
        self.calls.append(("get", path, start, end))
        cls = type(self)
        cls._now += 1
        cls.most_at_once = max(cls.most_at_once, cls._now)
        try:
            await asyncio.sleep(0)
            data = self._find(path)
            return data[start:end] if cls.ranges else data
        finally:
            cls._now -= 1

    async def _info(self, path, **kwargs):
        path = self._strip_protocol(path)
        if path in self.objects:
            return {"name": path, "size": len(self.objects[path]), "type": "file"}
        if any(name.startswith(path + "/") for name in self.objects):
            return {"name": path, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    async def _ls(self, path, detail=True, **kwargs):
        path = self._strip_protocol(path)
        found = {}
        for name in list(self.objects):
            if name.startswith(path + "/"):
                child, _, below = name[len(path) + 1 :].partition("/")
                kind = "directory" if below else "file"
                size = 0 if below else len(self.objects[name])
                found[child] = {"name": f"{path}/{child}", "size": size, "type": kind}
        if not found:
            raise FileNotFoundError(path)
        return list(found.values()) if detail else [entry["name"] for entry in found.values()]

    async def _cp_file(self, path1, path2, **kwargs):
        self.calls.append(("copy", path1, path2))
        self.show(self._strip_protocol(path2), self._find(self._strip_protocol(path1)))

    async def _rm_file(self, path, **kwargs):
        self.calls.append(("delete", path))
        self._find(self._strip_protocol(path))
        del self.objects[self._strip_protocol(path)]
        self.shown.append((path, None))

    async def _pipe_file(self, path, value, **kwargs):
        self.show(self._strip_protocol(path), value)

    async def _put_file(self, lpath, rpath, **kwargs):
        with open(lpath, "rb") as file:
            self.show(self._strip_protocol(rpath), file.read())

    async def _get_file(self, rpath, lpath, **kwargs):
        with open(lpath, "wb") as file:
            file.write(self._find(self._strip_protocol(rpath)))

    async def _makedirs(self, path, exist_ok=False):
        pass

    def _open(self, path, mode="rb", block_size=None, **kwargs):
        self.calls.append(("open", path, mode, block_size))
        return Upload(self, path, mode, block_size or "default", **kwargs)


class OneConnection(AbstractFileSystem):
    """server://... Not for two threads at a time, moves without replacing, no ranges by name."""

    protocol = "server"
    cachable = False
    files: dict = {}
    busy = threading.Lock()
    meanwhile = None  # called once, by the next who uses the connection

    class File(AbstractBufferedFile):
        def _initiate_upload(self):
            self.parts = []

        def _upload_chunk(self, final=False):
            with self.fs.alone():
                self.parts.append(self.buffer.getvalue())
                if final:
                    self.fs.files[self.path] = b"".join(self.parts)
            return True

        def _fetch_range(self, start, end):
            with self.fs.alone():
                return self.fs.files[self.path][start:end]

    class _Alone:
        def __enter__(self):
            if not OneConnection.busy.acquire(blocking=False):
                raise RuntimeError("two threads on one connection")
            meanwhile, OneConnection.meanwhile = OneConnection.meanwhile, None
            if meanwhile is not None:
                meanwhile()

        def __exit__(self, *_):
            OneConnection.busy.release()

    def alone(self):
        return self._Alone()

    def _open(self, path, mode="rb", block_size=None, **kwargs):
        if mode == "rb" and path not in self.files:
            raise FileNotFoundError(path)
        return self.File(self, path, mode, block_size or "default", **kwargs)

    def info(self, path, **kwargs):
        path = self._strip_protocol(path)
        with self.alone():
            if path in self.files:
                return {"name": path, "size": len(self.files[path]), "type": "file"}
        raise FileNotFoundError(path)

    def ls(self, path, detail=True, **kwargs):
        path = self._strip_protocol(path)
        with self.alone():
            found = [
                {"name": name, "size": len(data), "type": "file"}
                for name, data in self.files.items()
                if name.rpartition("/")[0] == path
            ]
        if not found:
            raise FileNotFoundError(path)
        return found if detail else [entry["name"] for entry in found]

    def mv(self, path1, path2, **kwargs):
        with self.alone():
            if path2 in self.files:
                raise FileExistsError(path2)
            if path1 not in self.files:
                raise FileNotFoundError(path1)
            self.files[path2] = self.files.pop(path1)

    def _rm(self, path):
        with self.alone():
            if path not in self.files:
                raise FileNotFoundError(path)
            del self.files[path]

    def makedirs(self, path, exist_ok=False):
        pass


def register():
    fsspec.register_implementation("bucket", ObjectStore, clobber=True)
    fsspec.register_implementation("server", OneConnection, clobber=True)
