"""Where things lie in a recorder's memory. csrc/imsg.h says the same to the C core; native.py checks it.

Native byte order, every part 8-aligned:

         0  head     magic u32, version u32, capacity u32, pid u32, next u64, tape's size u32, tape on u32,
                     written u64, tail u64, records u64, 8 unused
        64  names    64 channel names of 32 bytes, utf-8, zero-padded
      2112  kinds    4096 times {count in u64, bytes in u64, count out u64, bytes out u64, rule u64};
                     number 0 counts what is over 4095
    165952  note     8192 bytes of text, zero-terminated: what the owner had to say when it died
    174144  entries  `capacity` headers of 40 bytes {time u64, sequence u64, channel u32, type u32,
                     length u32, peerid u32, pid u32, flags u32}; `next` counts every frame ever recorded,
                     the i-th lies at i modulo capacity and holds sequence i+1
       ...  tape     `tape's size` bytes, a ring of records with payloads

`written` and `tail` count bytes ever put on the tape and ever overwritten; a byte lies at its count modulo
the tape's size, and tail is always the beginning of a record. A record is {size u32, flags u32, time u64,
sequence u64, channel u32, type u32, length u32, peerid u32, pid u32, payload u32} and the payload, padded
to 8. The owner moves tail before it overwrites, and written after it wrote: a reader that finds tail still
behind what it copied has copied whole records.
"""

import struct

MAGIC = 0x474D5349  # "ISMG" as bytes in memory on a little-endian machine
VERSION = 2

HEAD = struct.Struct("=IIIIQIIQQQ")
HEAD_SIZE = 64
CAPACITY_AT = 8
NEXT = struct.Struct("=Q")
NEXT_AT = 16
TAPE_ON_AT = 28
POSITIONS = struct.Struct("=QQQ")  # written, tail, records
POSITIONS_AT = 32
WRITTEN_AT, TAIL_AT, RECORDS_AT = 32, 40, 48

NAMES = 64
NAME_SIZE = 32
NAMES_AT = HEAD_SIZE

KINDS = 4096
KIND = struct.Struct("=QQQQQ")
KINDS_AT = NAMES_AT + NAMES * NAME_SIZE
RULE = struct.Struct("=Q")
RULE_AT = 32  # within a kind

NOTE_SIZE = 8192
NOTE_AT = KINDS_AT + KINDS * KIND.size

ENTRY = struct.Struct("=QQIIIIII")
ENTRIES_AT = NOTE_AT + NOTE_SIZE
MAX_ENTRIES = 1 << 20

RECORD = struct.Struct("=IIQQIIIIII")
MAX_RECORD = RECORD.size + 16384
MIN_TAPE = 4 * MAX_RECORD

# flags of an entry and of a record
OUT = 1
DESCRIPTOR = 2
HANDLED = 4  # no frame: the time a handler took, the payload is its length in ns (u64)
WITHHELD = 8  # there is a payload, and it is not shown

# the rule of a kind: what of it goes on the tape; the bits below are the indexes of its secret fields
TAPED = 1 << 63
TAPED_OUT = 1 << 62  # with its payload when it is sent
TAPED_IN = 1 << 61  # with its payload when it is received
SECRET_FIELDS = 48
