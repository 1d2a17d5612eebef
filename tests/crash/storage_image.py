"""What a disk may hold after a power cut, from the log of shim_storage.c (its head says what an entry is).

The rules, as strict as POSIX lets a file system be:
- a write is on the disk for sure only when a sync of its file that began after it has ended well (one through a descriptor with
  O_DSYNC: when it has returned); until then any of its blocks (512 octets or 4 KiB) may be, whatever else is or is not
- the same holds for a file's length
- a name (made, renamed, linked, removed) is for sure only when its directory has been synced; a file whose name is not there is lost

    log = Log(path)                    .entries: list of Entry; .at: its place in the log, which grows with time
    disk = Disk()                      disk.do(entry) plays one
    disk.image(rng) -> {name: octets}  of all files (below MC_SHIM_DIR) that a cut at this moment may leave
"""
import collections
import os
import struct

HEAD = struct.Struct('<IIQII')
Entry = collections.namedtuple('Entry', 'op handle offset flags data at')
BLOCKS = (512, 4096)


class Log:
    def __init__(self, path):
        with open(path, 'rb') as f:
            raw = f.read()
        self.entries, at = [], 0
        while at + HEAD.size <= len(raw):
            op, handle, offset, n, flags = HEAD.unpack_from(raw, at)
            if at + HEAD.size + n > len(raw):
                break               # the program was ended in the middle of it
            self.entries.append(Entry(chr(op), handle, offset, flags, raw[at + HEAD.size:at + HEAD.size + n], at + HEAD.size + n))
            at += HEAD.size + n


class File:
    def __init__(self):
        self.disk = bytearray()     # for sure
        self.later = []             # (offset, octets) or (length, None), in order, since then
        self.size = 0               # as the program sees it

    def write(self, offset, data):
        self.later.append((offset, data))
        self.size = max(self.size, offset + len(data))

    def resize(self, size, never_shorter):
        if not never_shorter or size > self.size:
            self.later.append((size, None))
            self.size = size

    def sync(self, n):
        """The first n of what came later are on the disk."""
        for offset, data in self.later[:n]:
            _apply(self.disk, offset, data)
        del self.later[:n]

    def sync_last(self):
        offset, data = self.later.pop()
        _apply(self.disk, offset, data)

    def image(self, rng, keep, block):
        if not self.later:
            return bytes(self.disk)
        out, grown = bytearray(self.disk), rng.random() < 0.5
        for offset, data in self.later:
            if data is None:
                if rng.random() < keep:
                    _apply(out, offset, None)
                continue
            at = offset
            while at < offset + len(data):
                end = min((at // block + 1) * block, offset + len(data))
                if rng.random() < keep:
                    _apply(out, at, data[at - offset:end - offset])
                at = end
        if grown and len(out) < self.size:
            out.extend(bytes(self.size - len(out)))
        elif not grown and len(out) > len(self.disk) and rng.random() < 0.5:
            del out[max(len(self.disk), 0):]
        return bytes(out)


def _apply(to, offset, data):
    if data is None:
        if offset < len(to):
            del to[offset:]
        else:
            to.extend(bytes(offset - len(to)))
        return
    if offset > len(to):
        to.extend(bytes(offset - len(to)))
    to[offset:offset + len(data)] = data


def _name(octets):
    return os.path.normpath(octets.decode())    # 'd/..' is '.'


class Disk:
    O_CREAT, O_TRUNC, O_DIRECTORY = os.O_CREAT, os.O_TRUNC, os.O_DIRECTORY

    def __init__(self):
        self.now = {'.': None}      # name -> File, None: a directory
        self.sure = {'.': None}
        self.later = []             # (directories, changes): changes is a list of (name, File or None, or 'gone'), all or none of it
        self.open = {}              # handle -> name's File, or the directory's name
        self.begun = {}             # handle -> how much a sync that has begun will cover

    def _change(self, *changes):
        for name, what in changes:
            if what == 'gone':
                self.now.pop(name, None)
            else:
                self.now[name] = what
        self.later.append(({os.path.dirname(n) or '.' for n, _ in changes}, changes))

    def do(self, e):
        if e.op == 'O':
            name = _name(e.data)
            if name not in self.now:
                self._change((name, File()))
            f = self.now[name]
            self.open[e.handle] = name if f is None else f
            if f is not None and e.flags & self.O_TRUNC and f.size:
                f.resize(0, False)
        elif e.op == 'W':
            self.open[e.handle].write(e.offset, e.data)
        elif e.op == 'T':
            self.open[e.handle].resize(e.offset, e.flags)
        elif e.op == 'B' and not e.flags:
            f = self.open[e.handle]
            self.begun[e.handle] = len(self.later) if isinstance(f, str) else len(f.later)
        elif e.op == 'E':
            self._synced(e)
        elif e.op in 'RL':
            a, b = (_name(x) for x in e.data.split(b'\0'))
            self._change(*([(a, 'gone')] if e.op == 'R' else []), (b, self.now[a]))
        elif e.op in 'UD':
            self._change((_name(e.data), 'gone'))
        elif e.op == 'M':
            self._change((_name(e.data), None))

    def _synced(self, e):
        f = self.open[e.handle]
        if e.flags:
            f.sync_last()
        elif isinstance(f, str):
            n, rest = self.begun.pop(e.handle), []
            for i, (dirs, changes) in enumerate(self.later):
                if i < n and f in dirs:
                    self._settle(self.sure, changes)    # of a rename between two directories, one sync is enough here
                else:
                    rest.append((dirs, changes))
            self.later = rest
        else:
            n = self.begun.pop(e.handle)
            f.sync(min(n, len(f.later)))
            for other, m in self.begun.items():         # another sync of the same file is under way
                if self.open[other] is f:
                    self.begun[other] = max(0, m - n)

    @staticmethod
    def _settle(names, changes):
        for name, what in changes:
            if what == 'gone':
                names.pop(name, None)
            else:
                names[name] = what

    def image(self, rng):
        keep, block = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0)), rng.choice(BLOCKS)
        names = dict(self.sure)
        for _, changes in self.later:
            if rng.random() < keep:
                self._settle(names, changes)
        out = {}
        for name, f in names.items():
            above = os.path.dirname(name)
            while above and above in names:
                above = os.path.dirname(above)
            if not above and f is not None:             # else one of its directories is not there
                out[name] = f.image(rng, keep, block)
        return out


def put(image, directory, only=None):
    """Writes an image; only: a function of the name."""
    for name, data in image.items():
        if only and not only(name):
            continue
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, 'wb') as f:
            f.write(data)
        os.chmod(path, 0o600)
