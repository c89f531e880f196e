"""k-nearest-neighbour search: exact on CPU and GPU, and approximate with faiss."""
