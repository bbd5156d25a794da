"""Faults on purpose, and a checker that knows what must have arrived: ``make faults``."""
