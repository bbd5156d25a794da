"""Frames and requests as no client sends them, against a real relay: ``make fuzz``."""
