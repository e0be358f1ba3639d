"""The public contract: names, models and codes that integrators may rely on (``docs/contract.md``)."""
