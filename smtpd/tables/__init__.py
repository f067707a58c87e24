"""Tables (table(5)): what the configuration names, looked up by service.

In reading order: `service` (what every table answers), `entries` (keys and values, compact), `index` (finding
a key by the rules of a service), then the backends: `static`, `file`, `db`, `getpwnam`, `proc`; `values`
reads the values of each service, `open` makes a table of any backend. Backends know no configuration: what
they need is given.
"""
