"""Networks, and the settings that build them: one file a family (docs/networks.md)."""
