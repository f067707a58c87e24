"""Frozen mail values: ids, addresses, envelopes and their text, status codes. No input or output."""
