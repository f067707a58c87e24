"""sd_notify(3): tell the service manager how far we are."""

import os
import socket


def notify(state: str) -> bool:
    """Send a state such as "READY=1" to the socket in $NOTIFY_SOCKET; False when nobody is there to tell."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        try:
            manager.sendto(state.encode(), address)
        except OSError:
            return False
    return True
