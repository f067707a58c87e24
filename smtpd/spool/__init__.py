"""Where messages and envelopes are kept: the backend interface, and the backends fs, ram and null."""
