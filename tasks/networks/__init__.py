"""Networks, and the settings that build them: one file a family. Standard networks (ResNets …) will stand beside."""
