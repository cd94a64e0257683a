"""The move of everything that one store keeps into another, through the interface of both (docs/adr/0071)."""
