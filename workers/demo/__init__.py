"""The demo: a morning of triage outcomes, with invented staff and a phone gateway of its own (``make demo``)."""
