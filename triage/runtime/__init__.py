"""Operating-system services for every process: durable files, sockets, child processes, stop signals, health."""
