"""Builds the C core, imsg._core: cffi in API mode over csrc/. Run as a program, it builds in place.

The core is optional: without it, or with IMSG_PURE=1, frame.py does the same in plain Python. This module is
needed at build time only; it must not import anything else of the package.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from cffi import FFI  # type: ignore[import-untyped]

SOURCES = ("reader.c", "writer.c", "object.c", "ring.c", "tape.c", "mask.c", "waits.c", "meter.c")

CDEF = """
#define IMSG_SYSTEM ...
#define IMSG_LAYOUT ...
#define IMSG_METER_ROW ...

struct imsg_meter { uint32_t idle; uint64_t left_out; ...; };
struct imsg_ring {
    unsigned char *memory;
    uint32_t capacity, tape, channel;
    struct imsg_meter *meter;
    uint32_t metered, serial;
    ...;
};
struct imsg_reader {
    struct imsg_ring ring;
    uint32_t start, have, count, carried, joined_length;
    uint32_t types[...], lengths[...], peerids[...], pids[...];
    int descriptors[...];
    uint64_t stamps[...];
    unsigned char buffer[...], joined[...];
    ...;
};
struct imsg_writer { struct imsg_ring ring; size_t start, end; ...; };

struct imsg_reader *imsg_reader_new(void);
void imsg_reader_free(struct imsg_reader *);
void imsg_reader_close(struct imsg_reader *);
int imsg_reader_receive(struct imsg_reader *, int);
int imsg_reader_feed(struct imsg_reader *, const unsigned char *, size_t, const int *, size_t);
void imsg_reader_settle(struct imsg_reader *);

struct imsg_meter *imsg_meter_new(const unsigned char *);
void imsg_meter_free(struct imsg_meter *);
void imsg_meter_clear(struct imsg_meter *);
void imsg_meter_add(struct imsg_meter *, uint32_t, uint32_t, uint32_t, uint64_t);
void imsg_meter_add_all(struct imsg_meter *, uint32_t, uint32_t, const uint32_t *, const uint64_t *, int);
int imsg_meter_row(const struct imsg_meter *, uint32_t, uint64_t *);
uint64_t imsg_meter_sent(struct imsg_meter *, uint32_t, uint32_t);

struct imsg_writer *imsg_writer_new(void);
void imsg_writer_free(struct imsg_writer *);
void imsg_writer_close(struct imsg_writer *);
int imsg_writer_add(struct imsg_writer *, uint32_t, const unsigned char *, const unsigned char *, size_t,
                    uint32_t, uint32_t, uint32_t, const uint32_t *, const int *);
int imsg_writer_send(struct imsg_writer *, int);
int imsg_one_object(const unsigned char *, size_t);
int imsg_mask(const unsigned char *, size_t, uint64_t, unsigned char *, size_t);
int imsg_waits(const unsigned char *, size_t, const unsigned char *, const unsigned char *, size_t,
               const unsigned char *, uint64_t *, uint32_t *, uint64_t *, int, uint64_t *);
"""

ffibuilder = FFI()
ffibuilder.cdef(CDEF)
ffibuilder.set_source(
    "imsg._core",
    '#include "imsg.h"',
    sources=[f"imsg/csrc/{name}" for name in SOURCES],
    include_dirs=["imsg/csrc"],
    depends=["imsg/csrc/imsg.h"],
    extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden"],
    optional=True,
)


def main() -> int:
    """Build in a temporary folder and put only the finished module beside this file; 0, or 1 on failure."""
    package = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(package / "csrc", Path(folder, "imsg", "csrc"))
        try:
            built = Path(ffibuilder.compile(tmpdir=folder))
        except Exception as error:  # cffi and setuptools raise many kinds when there is no compiler
            print(f"imsg: the C core was not built: {error}", file=sys.stderr)
            return 1
        if not built.exists():
            print("imsg: the C core was not built", file=sys.stderr)
            return 1
        new = package / f".{built.name}.new"
        shutil.copyfile(built, new)
        os.replace(new, package / built.name)
    print(package / built.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
