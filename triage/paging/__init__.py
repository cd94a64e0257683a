"""Paging: the reading rota is told of a raised study that no reader has opened, until it is read (docs/adr/0059)."""
