"""The file format of Berkeley DB's hash method: what makemap(8) makes and `table db:` reads.

Holds `read` (all pairs of a file) and `write` (a file of pairs that the library opens and looks keys up in).
Pages are of one size. Page 0 says how many buckets there are and where; a bucket is a chain of hash pages;
large items are in chains of overflow pages. Reading goes through all hash pages: it needs no hash function.
Versions 8 to 10 are read (Berkeley DB 3 to 18), 9 is written.

Must not open files, nor know that makemap puts a NUL behind keys and values.
"""

import struct
from collections.abc import Iterable, Iterator

MAGIC = 0x061561
VERSIONS = (8, 9, 10)
PAGE_SIZE = 4096

_META, _UNSORTED, _OVERFLOW, _HASH = 8, 2, 7, 13
_KEYDATA, _DUPLICATE, _OFFPAGE = 1, 2, 3
_HEADER = 26
_CHARKEY = b"%$sniglet^&\0"

# Numbers of other formats at the place of the magic number, or at the beginning of a file.
_OTHERS = {
    0x053162: "a Berkeley DB of another method (btree), not a hash",
    0x042253: "a Berkeley DB of another method (queue), not a hash",
    0x040988: "a Berkeley DB log, not a hash",
}


class FormatError(ValueError):
    """The bytes are no such file: what they are, or where they are damaged."""


def read(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a file, in the order of its pages; FormatError."""
    order, size = _check(data)
    header = struct.Struct(order + "8xIIIHHBB")
    for start in range(size, len(data) - size + 1, size):
        number, _, _, count, _, _, kind = header.unpack_from(data, start)
        if kind not in (_HASH, _UNSORTED):
            continue
        if number != start // size:
            raise FormatError(f"page {start // size} says it is page {number}")
        items = list(_items(data, start, size, count, order))
        if len(items) % 2:
            raise FormatError(f"page {number} has a key without a value")
        yield from zip(items[::2], items[1::2], strict=True)


def _check(data: bytes) -> tuple[str, int]:
    """Byte order and size of the pages."""
    if data.startswith(b"SQLite format 3"):
        raise FormatError("a SQLite database, not a Berkeley DB hash")
    if len(data) < 512:
        raise FormatError("too small for a Berkeley DB")
    for order in "<>":
        magic, version, size = struct.unpack_from(order + "III", data, 12)
        if magic == MAGIC:
            if version not in VERSIONS:
                raise FormatError(f"a Berkeley DB hash of version {version}, which is not read here")
            if size < 512 or size > 65536 or size & (size - 1) or len(data) % size:
                raise FormatError("a Berkeley DB hash that is cut off or damaged")
            if data[24] or data[26]:
                raise FormatError("a Berkeley DB hash with encryption or checksums, which is not read here")
            return order, size
        if magic in _OTHERS:
            raise FormatError(_OTHERS[magic])
        if struct.unpack_from(order + "I", data)[0] == MAGIC:
            raise FormatError(
                "a hash of Berkeley DB 1.85 (OpenBSD's), which is not read here: run makemap again"
            )
    raise FormatError("not a Berkeley DB")


def _items(data: bytes, start: int, size: int, count: int, order: str) -> Iterator[bytes]:
    """The keys and values of a page, in turn."""
    if _HEADER + 2 * count > size:
        raise FormatError(f"page {start // size} is damaged")
    end = size
    for offset in struct.unpack_from(f"{order}{count}H", data, start + _HEADER):
        if not _HEADER + 2 * count <= offset < end:
            raise FormatError(f"page {start // size} is damaged")
        item = data[start + offset : start + end]
        end = offset
        if item[0] == _KEYDATA:
            yield item[1:]
        elif item[0] == _OFFPAGE and len(item) == 12:
            page, length = struct.unpack_from(order + "II", item, 4)
            yield _overflow(data, size, page, length, order)
        elif item[0] == _DUPLICATE:
            raise FormatError("the database has several values of a key")
        else:
            raise FormatError(f"page {start // size} has an unknown item")


def _overflow(data: bytes, size: int, page: int, length: int, order: str) -> bytes:
    """A large item, from the chain of pages that begins at `page`."""
    parts = []
    left = length
    while left > 0:
        start = page * size
        if not page or start + size > len(data) or data[start + 25] != _OVERFLOW:
            raise FormatError(f"page {page} is no overflow page")
        following, used = struct.unpack_from(order + "I2xH", data, start + 16)
        if not 0 < used <= min(left, size - _HEADER):
            raise FormatError(f"page {page} is damaged")
        parts.append(data[start + _HEADER : start + _HEADER + used])
        left -= used
        page = following
    return b"".join(parts)


def hash_of(key: bytes) -> int:
    """The library's default hash function."""
    value = 0
    for byte in key:
        value = value * 16777619 & 0xFFFFFFFF ^ byte
    return value


def write(pairs: Iterable[tuple[bytes, bytes]], identity: bytes = bytes(20)) -> bytes:
    """A file with these pairs (a key's last value counts), little-endian; `identity` are 20 bytes that tell
    this file from others, for the library's caches."""
    return _Writer(dict(pairs), identity).file()


class _Writer:
    def __init__(self, pairs: dict[bytes, bytes], identity: bytes) -> None:
        self._pairs = pairs
        self._identity = identity
        self._pages: list[bytes] = []
        """The pages behind those of the buckets."""
        self._first = 0

    def file(self) -> bytes:
        """The whole."""
        buckets = 2
        room = PAGE_SIZE - _HEADER
        # An item of a quarter of a page or more goes to pages of its own: a page holds two pairs at least.
        most = PAGE_SIZE // 4
        weight = sum(6 + min(len(key), most) + min(len(value), most) for key, value in self._pairs.items())
        while buckets * room * 2 < weight * 3:
            buckets *= 2
        self._first = 1 + buckets
        chains: list[list[tuple[bytes, bytes]]] = [[] for _ in range(buckets)]
        for key, value in self._pairs.items():
            chains[hash_of(key) & (buckets - 1)].append((self._item(key), self._item(value)))
        heads = [self._bucket(1 + number, chain) for number, chain in enumerate(chains)]
        return b"".join([self._meta(buckets), *heads, *self._pages])

    def _meta(self, buckets: int) -> bytes:
        last = self._first + len(self._pages) - 1
        doublings = buckets.bit_length() - 1
        spares = [1] * (doublings + 1) + [0] * (31 - doublings)
        page = struct.pack("<8xIIIIBBBxIIIIII", 0, MAGIC, 9, PAGE_SIZE, 0, _META, 0, 0, last, 0, 0, 0, 0)
        page += struct.pack("<20s", self._identity)
        page += struct.pack(
            "<IIIIII", buckets - 1, buckets - 1, buckets // 2 - 1, 0, len(self._pairs), hash_of(_CHARKEY)
        )
        page += struct.pack("<32I", *spares)
        return page.ljust(PAGE_SIZE, b"\0")

    def _item(self, content: bytes) -> bytes:
        if len(content) < PAGE_SIZE // 4:
            return bytes((_KEYDATA,)) + content
        page = self._first + len(self._pages)
        room = PAGE_SIZE - _HEADER
        parts = [content[at : at + room] for at in range(0, len(content), room)]
        for number, part in enumerate(parts):
            after = page + number + 1 if number + 1 < len(parts) else 0
            before = page + number - 1 if number else 0
            head = struct.pack("<8xIIIHHBB", page + number, before, after, 1, len(part), 0, _OVERFLOW)
            self._pages.append((head + part).ljust(PAGE_SIZE, b"\0"))
        return struct.pack("<B3xII", _OFFPAGE, page, len(content))

    def _bucket(self, number: int, chain: list[tuple[bytes, bytes]]) -> bytes:
        """The first page of a bucket; the others go behind all buckets."""
        pages: list[list[bytes]] = [[]]
        free = PAGE_SIZE - _HEADER
        for key, value in chain:
            needed = len(key) + len(value) + 4
            if needed > free:
                pages.append([])
                free = PAGE_SIZE - _HEADER
            pages[-1] += [key, value]
            free -= needed
        numbers = [number] + [self._first + len(self._pages) + n for n in range(len(pages) - 1)]
        made = []
        for at, items in enumerate(pages):
            before = numbers[at - 1] if at else 0
            after = numbers[at + 1] if at + 1 < len(pages) else 0
            made.append(_hash_page(numbers[at], before, after, items))
        self._pages += made[1:]
        return made[0]


def _hash_page(number: int, before: int, after: int, items: list[bytes]) -> bytes:
    offsets = []
    end = PAGE_SIZE
    for item in items:
        end -= len(item)
        offsets.append(end)
    head = struct.pack("<8xIIIHHBB", number, before, after, len(items), end, 0, _UNSORTED)
    head += struct.pack(f"<{len(offsets)}H", *offsets)
    return head.ljust(end, b"\0") + b"".join(reversed(items))
