"""Reports that arrive over MLLP or at a UPS manager, and take their study off the worklist."""
