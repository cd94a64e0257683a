"""Pure: bytes to a radiograph or a rejection, and to the model input. No I/O, no queue, no network, no runtime."""
