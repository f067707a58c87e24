"""The configuration parser under atheris, which is not among our dependencies: `pip install atheris`, then

    python tests/fuzz/atheris_config.py -max_total_time=600 -max_len=2000 FOLDER tests/fuzz/corpus/config

libFuzzer writes what leads it further into FOLDER; what breaks the promise of test_config.py ends it.
"""

import runpy
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

with atheris.instrument_imports(include=["smtpd.config"]):
    check = runpy.run_path(str(HERE / "test_config.py"))["check"]

if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
