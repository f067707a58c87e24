"""Looking inside a running daemon: what passes between its processes, decoded, paired, drawn and exported.

In reading order: seen (one sighting of a message at one process), watching (sightings from a running
daemon), pcapng (from and to a capture file), crashes (from a crash file), joining (sightings to messages,
replies to requests), ids and origins (what belongs to which mail), filters, flow (one mail's way); then
what is made of it: line (a line in the terminal), ladder, mermaid, drawing (SVG), page (HTML), chrome
(Perfetto), folded (flame graphs), dissector (Wireshark). The daemon's own side is smtpd/mproc/taping.py and
imsg/tape.py.
"""
