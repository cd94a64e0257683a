"""ONNX Runtime, told to send nothing before it is loaded: whoever needs it takes it from here (`.importlinter`).

Wheels from 1.29 on ask DNS for a host of Microsoft's and write a device id and a database of events below the home
folder, unless this variable says otherwise when the library is loaded. Its ``disable_telemetry_events()`` comes too
late for that. Child processes inherit the variable.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # not before the line above

__all__ = ["onnxruntime"]
