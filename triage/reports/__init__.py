"""What other systems say of studies that were read: report messages over MLLP, workitems that were completed."""
