"""Other ways to write such a relay, each as its own documentation has it."""
