"""Networks and the settings that build them: one file for each family (docs/networks.md)."""
