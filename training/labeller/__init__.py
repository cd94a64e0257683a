"""Normal or abnormal from what was written of a radiograph: from the report's MeSH codes, or from its text by rules."""
