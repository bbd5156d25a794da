"""How much CPU a delivery costs: ``python -m tests.bench``."""
