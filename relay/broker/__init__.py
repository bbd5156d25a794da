"""Everything about Redis: names, scripts, publishing, reading, the supervised subscription."""
