"""A reader study on one's own cases: a page for local readers, their answers, and the labels that come of them."""
