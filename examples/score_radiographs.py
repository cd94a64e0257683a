# %% [markdown]
# # Score chest radiographs from Python
# Open this file as a notebook (Jupyter with Jupytext, VS Code, Spyder), or run it as a script.
# It needs `pip install '.[cpu]'` and the models of this repository. The images are phantoms, drawn by code.
#
# Research use. Not a medical device.

# %%
from pathlib import Path

import cv2
import numpy as np

import triage
from triage.phantom.samples import write_phantoms

# %% [markdown]
# Load the models once. `isolated` decodes in a child process, which a damaged file can crash and nothing else.

# %%
scorer = triage.load_models(isolated=True)
for card in scorer.cards.values():
    print(f"{card.model_id}: {card.covers}")

# %% [markdown]
# ## DICOM files
# A DICOM file says itself which view it is of, and how old the patient is.

# %%
for sample in write_phantoms(Path("samples")):
    result = scorer.score(sample.path)
    shown = "not scored" if result.probability is None else f"{result.probability:.2f}"
    print(f"{sample.path} {result.tag} {shown}", *result.reasons)

# %% [markdown]
# ## A picture, an array
# They say nothing of themselves: what you do not assert is unknown, and an image of which too little is known is
# NOT_ASSESSED.

# %%
rows, columns = 1024, 1024
pixels = np.random.default_rng(1).integers(0, 4096, (rows, columns), dtype=np.uint16)
stored = triage.Asserted(photometric_interpretation="MONOCHROME2", bits_stored=12)
unsaid = scorer.score(pixels, stored)
print(f"an array of which nothing is said: {unsaid.tag}, {unsaid.detail.split('; ')[-1]}")

# %%
said = triage.Asserted("PA", 54, "CHEST", "MONOCHROME2", bits_stored=12)
noise = scorer.score(pixels, said)
print(f"noise that is said to be a chest: {noise.tag}, {', '.join(noise.reasons)}")

# %% [markdown]
# ## What drew the score
# The activation map over the image: bright where a place by itself would reach the operating point. It is no outline of
# a finding.

# %%
result = scorer.score("samples/child-of-3-years-1.dcm")
strength = result.map_over(rows, columns)
assert strength is not None
over = np.zeros((rows, columns, 3), dtype=np.uint8)
over[..., 2] = np.rint(strength * 255)
cv2.imwrite("samples/map.png", over)
print(f"the child's image: {result.tag}, {result.probability:.2f}; its map is in samples/map.png")

# %%
scorer.close()
