"""The states of sites and the prefixes of swaps, read once: in memory, or in a cache on disk that processes share."""
