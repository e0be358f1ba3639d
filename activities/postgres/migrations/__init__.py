"""The database's schema, step by step (contract §5)."""
