"""The kinds that pass between smtpctl and control as a Catalogue of their own.

What only processes of the daemon say to each other is not even decoded when a client sends it; and an smtpctl
fits any daemon whose client kinds are the same.
"""

from imsg.message import Catalogue

from . import client_configuration, client_control, client_mta, client_observation, client_queue

CLIENT_CATALOGUE = Catalogue(
    (client_control, client_queue, client_mta, client_configuration, client_observation)
)
