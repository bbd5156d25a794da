"""Who may do what: tokens, keys, origins and addresses."""
