"""All kinds of all files in this folder as one Catalogue; what fits no link is refused at import."""

from imsg.message import Catalogue

from . import (
    client_configuration,
    client_control,
    client_mta,
    client_observation,
    client_queue,
    control_lookup,
    control_mta,
    control_observation,
    control_pony,
    control_process,
    control_queue,
    control_scheduler,
    control_tries,
    delivery,
    lookup_queue,
    parent_child,
    parent_control,
    parent_lookup,
    parent_pony,
    pony_lookup,
    pony_queue,
    queue_scheduler,
)
from .links import linked

CATALOGUE = Catalogue(
    (
        parent_child,
        parent_control,
        parent_lookup,
        parent_pony,
        pony_lookup,
        pony_queue,
        lookup_queue,
        queue_scheduler,
        control_process,
        control_lookup,
        control_mta,
        control_observation,
        control_pony,
        control_queue,
        control_scheduler,
        control_tries,
        client_control,
        client_queue,
        client_mta,
        client_configuration,
        client_observation,
        delivery,
    )
)

for _kind in CATALOGUE.by_number.values():
    for _sender in _kind.senders:
        for _receiver in _kind.receivers:
            if not linked(_sender, _receiver):
                raise TypeError(f"{_kind.name}: there is no link between {_sender} and {_receiver}")
