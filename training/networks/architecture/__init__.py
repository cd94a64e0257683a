"""One file for each family of architectures; every module here registers itself (training/networks/registry.py)."""
