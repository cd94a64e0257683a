"""Networks and what they are trained towards: architectures, pre-trained weights, losses."""
