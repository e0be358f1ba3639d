"""The demo: a morning of cases of every kind, with invented staff and a phone gateway of its own (``make demo``)."""
