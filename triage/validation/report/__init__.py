"""The validation report: page, plots, gallery, model card."""
