"""A relay under attack, and a facilitator who is to notice nothing of it: ``make hostile``."""
