"""smtpd(8): `python -m smtpd`, the parent; with `-x NAME`, one child. Nothing else may name their modules.

Only the process asked for is imported, so that each holds its own code and no other.
"""

import argparse
import importlib
import sys
from typing import NoReturn

from smtpd.messages.links import CHILDREN


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smtpd", add_help=False, description="Simple Mail Transfer Protocol daemon"
    )
    parser.add_argument(
        "-d", action="store_true", dest="debug", help="do not daemonize, log to standard error"
    )
    parser.add_argument("-F", action="store_true", dest="foreground", help="do not daemonize, log to syslog")
    parser.add_argument("-n", action="store_true", dest="check", help="only check the configuration")
    parser.add_argument("-v", action="count", default=0, dest="verbose", help="verbose log")
    parser.add_argument(
        "-D", action="append", default=[], dest="macros", metavar="macro=value", help="define a macro"
    )
    parser.add_argument("-f", dest="file", metavar="file", help="configuration file")
    parser.add_argument(
        "-P", action="append", default=[], dest="paused", metavar="system", choices=("mda", "mta", "smtp"),
        help="start with mda, mta or smtp paused",
    )  # fmt: skip
    parser.add_argument(
        "-T", action="append", default=[], dest="traces", metavar="trace", help="trace a subsystem"
    )
    parser.add_argument("-h", action="store_true", dest="show_version", help="version and usage")
    parser.add_argument("--state", metavar="DIR", help="put spool, socket and all the rest under DIR")
    parser.add_argument("-x", dest="child", choices=CHILDREN, help=argparse.SUPPRESS)
    parser.add_argument("--help", action="help", help="this text")
    return parser


def main() -> NoReturn:
    """Parse argv and become the process it asks for; never returns."""
    parser = _arguments()
    options = parser.parse_args()
    if options.child is not None:
        from smtpd.mproc import child

        module = importlib.import_module(f"smtpd.{options.child}.process")
        child.main(module.Process)
    from smtpd import __version__

    if options.show_version:
        print(f"version: {__version__}", file=sys.stderr)
        parser.print_usage(sys.stderr)
        sys.exit(1)
    start = importlib.import_module("smtpd.parent.start")
    sys.exit(start.main(options))


if __name__ == "__main__":
    main()
