"""The relay: carries a session's publications from Redis to the facilitators connected here."""
