"""Where the ranks run: devices, cores, and the launcher that started them."""
