"""Who does the framing: the C core if it was built, else plain Python (IMSG_PURE=1 forces the latter)."""

import os
from typing import TYPE_CHECKING

NATIVE: bool  # whether the C core is in use

if TYPE_CHECKING:
    from imsg.frame import FrameReader, FrameWriter
    from imsg.meter import Meter
elif os.environ.get("IMSG_PURE") == "1":
    from imsg.frame import FrameReader, FrameWriter
    from imsg.meter import Meter

    NATIVE = False
else:
    try:
        from imsg.native import FrameReader, FrameWriter, Meter

        NATIVE = True
    except ImportError:
        from imsg.frame import FrameReader, FrameWriter
        from imsg.meter import Meter

        NATIVE = False

__all__ = ["NATIVE", "FrameReader", "FrameWriter", "Meter"]
