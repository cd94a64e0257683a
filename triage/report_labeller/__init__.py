"""Normal or abnormal from a radiology report: from its MeSH codes, or from its text by rules."""
