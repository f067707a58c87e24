"""`python -m smtpd.delivery FD`: the starter; FD is its socket to parent."""

import sys

from smtpd.delivery.starter import main

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
